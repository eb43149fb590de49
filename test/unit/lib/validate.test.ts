// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import * as fc from "fast-check";
import { ServiceError } from "../../../src/lib/service-error.js";
import { isUuid, parseText, parseUuid } from "../../../src/lib/validate.js";

const UUID = "3f2c8a52-9a0b-4c5d-8e6f-0123456789ab";

describe("parseUuid", () => {
  it("takes the canonical form and lowers upper case", () => {
    expect(parseUuid(UUID.toUpperCase(), "instance_uuid")).to.equal(UUID);
  });

  for (const [what, value] of [
    ["an empty text", ""],
    ["braces", `{${UUID}}`],
    ["no dashes", UUID.replaceAll("-", "")],
    ["a letter beyond f", UUID.replace("a", "g")],
    ["a trailing newline", `${UUID}\n`],
    ["a letter whose lower case is ASCII", `${UUID.slice(0, 35)}\u212a`],
  ] as const) {
    it(`refuses ${what} and names the field`, () => {
      expect(() => parseUuid(value, "instance_uuid"))
        .to.throw(ServiceError, /^instance_uuid must be a UUID/)
        .with.property("reason", "INVALID_ARGUMENT");
    });
  }

  it("refuses or returns a canonical uuid, whatever it is given", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uuid()), (text) => {
        let parsed: string;
        try {
          parsed = parseUuid(text, "instance_uuid");
        } catch {
          return true;
        }
        return isUuid(parsed) && parsed === text.toLowerCase();
      }),
    );
  });
});

describe("parseText", () => {
  const rule = { field: "host", most: 5 };

  it("counts code points, not UTF-16 units", () => {
    expect(parseText("😀😀😀😀😀", rule)).to.have.length(10);
    expect(() => parseText("😀😀😀😀😀😀", rule)).to.throw("host must have at most 5 characters");
  });

  it("refuses an empty text only where one is required", () => {
    expect(parseText("", rule)).to.equal("");
    expect(() => parseText("", { ...rule, required: true })).to.throw("host must not be empty");
  });

  it("refuses control and bidirectional characters", () => {
    for (const bad of ["\n", "\u007f", "\u0085", "\u202e", "\u2066"]) {
      expect(() => parseText(`a${bad}b`, rule), JSON.stringify(bad)).to.throw("must not contain control characters");
    }
  });

  it("lets a free text hold anything but NUL", () => {
    const free = { ...rule, free: true };
    expect(parseText("a\u202eb", free)).to.equal("a\u202eb");
    expect(() => parseText("a\0b", free)).to.throw("host must not contain NUL");
  });
});
