// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ServiceError } from "../../../src/lib/service-error.js";
import { closingFromError, endReasonOf } from "../../../src/proxy/closing.js";

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
