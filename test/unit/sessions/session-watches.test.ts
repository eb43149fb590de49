// SPDX-License-Identifier: Apache-2.0
// The bounds; what a watch tells is in test/integration/api/session-service.test.ts.
import { expect } from "chai";
import { MAX_WATCH_BACKLOG, MAX_WATCHERS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import type { SessionWithChannels } from "../../../src/sessions/session.js";
import { SessionWatches } from "../../../src/sessions/session-watches.js";
import type { WatchedSession, WatchStore } from "../../../src/sessions/watch-store.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { rejectionOf } from "../../harness/rejection.js";

function sessionOf(id: number, changedIn = "1"): WatchedSession {
  const session = { sessionId: String(id), instanceUuid: "i", projectId: "p" } as SessionWithChannels;
  return { session, changedIn };
}

describe("SessionWatches", () => {
  let open: readonly WatchedSession[];
  let changed: readonly WatchedSession[];
  let watches: SessionWatches;
  let gone: AbortController;

  beforeEach(() => {
    open = [];
    changed = [];
    gone = new AbortController();
    const store = {
      horizon: () => Promise.resolve("1"),
      open: () => Promise.resolve(open),
      changedSince: () => Promise.resolve({ horizon: "1", sessions: changed }),
    } as unknown as WatchStore;
    const metrics = createControllerMetrics(createRegistry());
    watches = new SessionWatches({ store, log: silentLog, metrics, clock: new FakeClock() });
  });

  afterEach(async () => {
    gone.abort();
    await watches.stop();
  });

  it("tells what changed several times meanwhile once, as it is last", async () => {
    const watch = watches.watch({}, gone.signal);
    expect((await watch.next()).value).to.deep.equal({ kind: "synced" });
    for (const changedIn of ["2", "3"]) {
      changed = [sessionOf(1, changedIn), sessionOf(2)];
      await watches.look();
    }
    expect((await watch.next()).value).to.have.nested.property("session.sessionId", "2");
    expect((await watch.next()).value).to.have.nested.property("session.sessionId", "1");
    const nothing = watch.next();
    gone.abort();
    expect(reasonOf(await rejectionOf(nothing))).to.equal("CANCELLED");
  });

  it("does not tell again what it told at the beginning", async () => {
    open = [sessionOf(1)];
    const watch = watches.watch({}, gone.signal);
    await watch.next();
    await watch.next();
    changed = [sessionOf(1), sessionOf(2)];
    await watches.look();
    expect((await watch.next()).value).to.have.nested.property("session.sessionId", "2");
  });

  it("cuts off a watcher that does not take what changes", async () => {
    const watch = watches.watch({}, gone.signal);
    await watch.next();
    const half = MAX_WATCH_BACKLOG / 2;
    for (let round = 0; round < 3; round += 1) {
      changed = Array.from({ length: half }, (_, index) => sessionOf(round * half + index));
      await watches.look();
    }
    expect(reasonOf(await rejectionOf(watch.next()))).to.equal("LIMITED");
  });

  it("cuts off everybody where more changes at once than can be read", async () => {
    const watch = watches.watch({ instanceUuid: "other" }, gone.signal);
    await watch.next();
    changed = Array.from({ length: MAX_WATCH_BACKLOG + 1 }, (_, index) => sessionOf(index));
    await watches.look();
    expect(reasonOf(await rejectionOf(watch.next()))).to.equal("LIMITED");
  });

  it("shows nothing to a caller without a project", async () => {
    const watch = watches.watch({ projectId: "" }, gone.signal);
    await watch.next();
    const session = { sessionId: "1", instanceUuid: "i", projectId: "" } as SessionWithChannels;
    changed = [{ session, changedIn: "2" }];
    await watches.look();
    const nothing = watch.next();
    gone.abort();
    expect(reasonOf(await rejectionOf(nothing))).to.equal("CANCELLED");
  });

  it("refuses more watchers than it has room for", async () => {
    const all = Array.from({ length: MAX_WATCHERS }, () => watches.watch({}, gone.signal));
    await Promise.all(all.map((watch) => watch.next()));
    expect(reasonOf(await rejectionOf(watches.watch({}, gone.signal).next()))).to.equal("LIMITED");
    await all[0]?.return();
    await watches.watch({}, gone.signal).next();
  });
});
