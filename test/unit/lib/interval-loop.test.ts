// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { IntervalLoop } from "../../../src/lib/interval-loop.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { until } from "../../harness/within.js";

describe("IntervalLoop", () => {
  it("pauses before each time, and not while it works", async () => {
    const clock = new FakeClock();
    const work = new Work();
    const loop = new IntervalLoop({ ms: 10, run: work.run, clock });
    loop.start();
    loop.start();
    expect(work.times).to.equal(0);
    clock.advance(10);
    await until("the first time", () => work.times === 1);
    expect(clock.waiting).to.equal(0);
    work.end();
    await until("the next pause", () => clock.waiting === 1);
    clock.advance(10);
    await until("the second time", () => work.times === 2);
    work.end();
    await loop.stop();
  });

  it("stops when what is under way has ended", async () => {
    const clock = new FakeClock();
    const work = new Work();
    const loop = new IntervalLoop({ ms: 10, run: work.run, clock });
    loop.start();
    clock.advance(10);
    await until("it to work", () => work.times === 1);
    let stopped = false;
    const stop = loop.stop().then(() => (stopped = true));
    expect(loop.stopping.aborted).to.equal(true);
    await new Promise(setImmediate);
    expect(stopped).to.equal(false);
    work.end();
    await stop;
    await loop.stop();
    expect(clock.waiting).to.equal(0);
  });

  it("stops before it was started", async () => {
    await new IntervalLoop({ ms: 10, run: () => undefined }).stop();
  });
});

class Work {
  times = 0;
  end: () => void = () => undefined;

  readonly run = (): Promise<void> => {
    this.times += 1;
    return new Promise((resolve) => (this.end = resolve));
  };
}
