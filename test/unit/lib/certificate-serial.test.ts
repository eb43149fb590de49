// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { serialOf } from "../../../src/lib/certificate-serial.js";

describe("serialOf", () => {
  it("writes a number in one way only: lower case, no leading zeros", () => {
    expect(serialOf({ serialNumber: "000A1B00" })).to.equal("a1b00");
  });
});
