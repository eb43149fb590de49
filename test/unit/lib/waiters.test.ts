// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Waiters } from "../../../src/lib/waiters.js";

describe("Waiters", () => {
  it("wakes all that wait, and not who comes after", async () => {
    const waiters = new Waiters();
    const woken: string[] = [];
    const wait = (name: string): Promise<void> => waiters.wait().then(() => void woken.push(name));
    const first = [wait("a"), wait("b")];
    waiters.wake();
    const late = wait("late");
    await Promise.all(first);
    expect(woken).to.deep.equal(["a", "b"]);
    waiters.wake();
    await late;
    expect(woken).to.deep.equal(["a", "b", "late"]);
  });
});
