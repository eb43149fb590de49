// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Slots } from "../../../src/db/slots.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("Slots", () => {
  let clock: FakeClock;
  let slots: Slots;

  beforeEach(() => {
    clock = new FakeClock();
    slots = new Slots({ slots: 1, waiting: 2, waitMs: 100 }, clock);
  });

  it("gives a slot back to whoever waits longest", async () => {
    await slots.take();
    const order: string[] = [];
    const first = slots.take().then(() => order.push("first"));
    const second = slots.take().then(() => order.push("second"));
    slots.give();
    await first;
    slots.give();
    await second;
    expect(order).to.deep.equal(["first", "second"]);
    expect(clock.waiting).to.equal(0);
  });

  it("has a slot again after one was given back while nobody waited", async () => {
    await slots.take();
    slots.give();
    expect(await slots.take()).to.equal(true);
  });

  it("refuses at once when the queue is full", async () => {
    await slots.take();
    void slots.take();
    void slots.take();
    expect(await slots.take()).to.equal(false);
  });

  it("refuses after the wait, and does not lose the slot by it", async () => {
    await slots.take();
    const late = slots.take();
    clock.advance(100);
    expect(await late).to.equal(false);
    slots.give();
    expect(await slots.take()).to.equal(true);
  });

  it("sends everybody away who waits", async () => {
    await slots.take();
    const waiting = [slots.take(), slots.take()];
    slots.sendAway();
    expect(await Promise.all(waiting)).to.deep.equal([false, false]);
  });
});
