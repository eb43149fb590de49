// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ServiceError } from "../../../src/lib/service-error.js";
import { closingFor, closingFromError, endReasonOf } from "../../../src/sessions/closing.js";

describe("closingFor", () => {
  it("has a code of its own for what a viewer is told", () => {
    expect(closingFor("TAKEN_OVER")).to.deep.equal({ reason: "TAKEN_OVER", code: 4007 });
    expect(closingFor("DISPLAY_CLOSED")).to.deep.equal({ reason: "DISPLAY_CLOSED", code: 1000 });
  });

  it("tells the rest as an ended session", () => {
    expect(closingFor("ABANDONED")).to.deep.equal({ reason: "SESSION_ENDED", code: 4410 });
  });
});

describe("closings", () => {
  it("tells an error by 4000 plus its HTTP status, whatever is unknown as INTERNAL", () => {
    const limited = closingFromError(new ServiceError("LIMITED", "too many"));
    expect(limited).to.deep.equal({ reason: "LIMITED", code: 4429 });
    expect(closingFromError(new Error("boom"))).to.deep.equal({ reason: "INTERNAL", code: 4500 });
  });

  it("records a reason of its own as it is, and an error's as REFUSED", () => {
    expect(endReasonOf({ reason: "INSTANCE_STOPPED", code: 4002 })).to.equal("INSTANCE_STOPPED");
    expect(endReasonOf({ reason: "DISPLAY_CLOSED", code: 1000 })).to.equal("DISPLAY_CLOSED");
    expect(endReasonOf({ reason: "TARGET_REFUSED", code: 4502 })).to.equal("REFUSED");
  });
});
