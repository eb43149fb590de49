// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { closingFor } from "../../../src/sessions/closing.js";

describe("closingFor", () => {
  it("has a code of its own for what a viewer is told", () => {
    expect(closingFor("TAKEN_OVER")).to.deep.equal({ reason: "TAKEN_OVER", code: 4007 });
    expect(closingFor("DISPLAY_CLOSED")).to.deep.equal({ reason: "DISPLAY_CLOSED", code: 1000 });
  });

  it("tells the rest as an ended session", () => {
    expect(closingFor("ABANDONED")).to.deep.equal({ reason: "SESSION_ENDED", code: 4410 });
  });
});
