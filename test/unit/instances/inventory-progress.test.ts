// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { HostStream } from "../../../src/instances/host.js";
import { InventoryProgress } from "../../../src/instances/inventory-progress.js";
import { INVENTORY_GRACE_MS } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";

function streamOf(host: string, id: number): HostStream {
  return { host, streamId: BigInt(id), generation: 1n };
}

describe("InventoryProgress", () => {
  let clock: FakeClock;
  let progress: InventoryProgress;

  beforeEach(() => {
    clock = new FakeClock();
    progress = new InventoryProgress(clock);
  });

  it("is pending until the memory is filled", () => {
    expect(progress.isPending).to.equal(true);
    progress.loaded([]);
    expect(progress.isPending).to.equal(false);
  });

  it("is pending until every known host has sent its inventory", () => {
    progress.loaded(["a", "b"]);
    for (const [host, id] of [
      ["a", 1],
      ["b", 2],
    ] as const) {
      expect(progress.isPending).to.equal(true);
      progress.opened(streamOf(host, id));
      progress.completed(streamOf(host, id));
    }
    expect(progress.isPending).to.equal(false);
  });

  it("is pending no longer than the grace time, and never again after a second filling", () => {
    progress.loaded(["a"]);
    clock.advance(INVENTORY_GRACE_MS - 1);
    expect(progress.isPending).to.equal(true);
    clock.advance(1);
    expect(progress.isPending).to.equal(false);
    progress.loaded(["a", "b"]);
    expect(progress.isPending).to.equal(false);
  });

  it("does not wait for a host that was complete before the memory was filled", () => {
    progress.opened(streamOf("a", 1));
    progress.completed(streamOf("a", 1));
    progress.loaded(["a"]);
    expect(progress.isPending).to.equal(false);
  });

  it("forgets that a host is complete when its stream ends or is replaced", () => {
    progress.opened(streamOf("a", 1));
    progress.completed(streamOf("a", 1));
    expect(progress.isComplete("a")).to.equal(true);
    progress.opened(streamOf("a", 2));
    expect(progress.isComplete("a")).to.equal(false);
    progress.completed(streamOf("a", 2));
    progress.closed(streamOf("a", 2));
    expect(progress.isComplete("a")).to.equal(false);
    expect(progress.isConnected("a")).to.equal(false);
  });

  it("lets the end of an older stream, and what it still completes, change nothing", () => {
    progress.opened(streamOf("a", 1));
    progress.opened(streamOf("a", 2));
    progress.completed(streamOf("a", 1));
    expect(progress.isComplete("a")).to.equal(false);
    progress.closed(streamOf("a", 1));
    expect(progress.isConnected("a")).to.equal(true);
  });
});
