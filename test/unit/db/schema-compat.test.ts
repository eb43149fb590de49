// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { judgeSchema } from "../../../src/db/schema-compat.js";

describe("judgeSchema", () => {
  it("accepts the program's own version", () => {
    expect(judgeSchema({ version: 3, minReader: 3 }, 3).kind).to.equal("usable");
  });

  it("accepts a newer schema that says so, refuses one that does not", () => {
    expect(judgeSchema({ version: 5, minReader: 3 }, 3).kind).to.equal("usable");
    expect(judgeSchema({ version: 5, minReader: 4 }, 3).kind).to.equal("too-new");
  });

  it("waits for the migration of an older schema, and of none", () => {
    expect(judgeSchema({ version: 2, minReader: 1 }, 3).kind).to.equal("too-old");
    expect(judgeSchema(undefined, 3).kind).to.equal("too-old");
  });
});
