// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { waitUntil } from "../../../demo/wait-until.js";

describe("waitUntil", () => {
  it("asks until the answer is yes", async () => {
    let asked = 0;
    await waitUntil(() => ++asked === 3, { ms: 5_000, what: "the third time" });
    expect(asked).to.equal(3);
  });

  it("says what it waited for at the deadline", async () => {
    const error = await waitUntil(() => Promise.resolve(false), { ms: 20, what: "nothing" }).catch(String);
    expect(error).to.equal("Error: waited 20 ms for nothing");
  });

  it("throws what the condition throws", async () => {
    const failing = (): boolean => {
      throw new Error("broken");
    };
    expect(await waitUntil(failing, { ms: 5_000, what: "nothing" }).catch(String)).to.equal("Error: broken");
  });
});
