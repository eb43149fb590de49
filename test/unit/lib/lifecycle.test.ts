// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { NamedPart, Part } from "../../../src/lib/lifecycle.js";
import { Lifecycle } from "../../../src/lib/lifecycle.js";
import { silentLog } from "../../../src/lib/log.js";
import { rejectionOf } from "../../harness/rejection.js";

function recorder(): { events: string[]; part: (name: string, overrides?: Partial<Part>) => NamedPart } {
  const events: string[] = [];
  const part = (name: string, overrides: Partial<Part> = {}): NamedPart => ({
    name,
    stopMs: 20,
    part: {
      start: () => void events.push(`start ${name}`),
      stop: () => void events.push(`stop ${name}`),
      ...overrides,
    },
  });
  return { events, part };
}

describe("Lifecycle", () => {
  it("starts in order and stops in reverse", async () => {
    const { events, part } = recorder();
    const lifecycle = new Lifecycle(silentLog, [part("a"), part("b")]);
    await lifecycle.start();
    await lifecycle.stop();
    expect(events).to.deep.equal(["start a", "start b", "stop b", "stop a"]);
  });

  it("stops what had started, the failing part too, when a start fails", async () => {
    const { events, part } = recorder();
    const broken = part("b", { start: () => Promise.reject(new Error("no port")) });
    const lifecycle = new Lifecycle(silentLog, [part("a"), broken, part("c")]);
    expect((await rejectionOf(lifecycle.start())).message).to.equal("no port");
    expect(events).to.deep.equal(["start a", "stop b", "stop a"]);
  });

  it("goes on stopping when one part throws and another hangs", async () => {
    const { events, part } = recorder();
    const throws = part("b", { stop: () => Promise.reject(new Error("no")) });
    const hangs = part("c", { stop: () => new Promise<void>(() => undefined) });
    const lifecycle = new Lifecycle(silentLog, [part("a"), throws, hangs]);
    await lifecycle.start();
    await lifecycle.stop();
    expect(events.at(-1)).to.equal("stop a");
  });

  it("stops once, however often it is asked", async () => {
    const { events, part } = recorder();
    const lifecycle = new Lifecycle(silentLog, [part("a")]);
    await lifecycle.start();
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    await lifecycle.stop();
    expect(events).to.deep.equal(["start a", "stop a"]);
  });

  it("starts nothing further when it is stopped while it starts", async () => {
    const { events, part } = recorder();
    const lifecycle: Lifecycle = new Lifecycle(silentLog, [
      part("a", { start: () => void lifecycle.stop() }),
      part("b"),
    ]);
    await lifecycle.start();
    await lifecycle.stop();
    expect(events).to.deep.equal(["stop a"]);
  });

  it("refuses a second start", async () => {
    const lifecycle = new Lifecycle(silentLog, []);
    await lifecycle.start();
    expect((await rejectionOf(lifecycle.start())).message).to.equal("cannot start while running");
  });
});
