// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { parseConsoleType } from "../../../src/console/console-type.js";
import { ServiceError } from "../../../src/lib/service-error.js";

describe("parseConsoleType", () => {
  it("takes spice-html5, which is also what nothing means", () => {
    expect(parseConsoleType("spice-html5")).to.equal("spice-html5");
    expect(parseConsoleType("")).to.equal("spice-html5");
  });

  it("takes spice-direct", () => {
    expect(parseConsoleType("spice-direct")).to.equal("spice-direct");
  });

  it("refuses every other type and says which ones are there", () => {
    for (const type of ["novnc", "serial", "SPICE-HTML5", " spice-html5"]) {
      expect(() => parseConsoleType(type))
        .to.throw(ServiceError, 'use "spice-html5" or "spice-direct"')
        .that.deep.includes({ reason: "CONSOLE_TYPE_INVALID", metadata: { console_type: type } });
    }
  });
});
