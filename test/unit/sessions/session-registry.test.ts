// SPDX-License-Identifier: Apache-2.0
// What does not need a Postgres; the rest is in test/integration/console/viewer-sessions.test.ts.
import { expect } from "chai";
import { CHANNEL_SETTLES_MS, HEARTBEAT_INTERVAL_MS, SESSION_SYNC_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import type { ChannelStore, OpenedChannel } from "../../../src/sessions/channel-store.js";
import type { Session } from "../../../src/sessions/session.js";
import { SessionRegistry } from "../../../src/sessions/session-registry.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { rejectionOf } from "../../harness/rejection.js";

const REQUEST = { sessionId: "s", proof: "p", requestId: "", clientAddress: "" };
const MONTH_MS = 31 * 24 * 3_600_000;

describe("SessionRegistry", () => {
  let clock: FakeClock;
  let registry: SessionRegistry;
  let next: OpenedChannel | Error;
  let lost: (readonly bigint[])[];
  let failures: number;
  let ready: boolean;
  let expired: string[];
  let reopened: () => void;

  beforeEach(() => {
    clock = new FakeClock();
    lost = [];
    failures = 0;
    ready = true;
    expired = [];
    reopened = () => undefined;
    const session = { sessionId: "s", instanceUuid: "i" } as Session;
    next = { channelId: 1n, session, currentHost: "a", hasMain: false, remainingMs: undefined };
    const channels = {
      open: () => (next instanceof Error ? Promise.reject(next) : Promise.resolve(next)),
      sync: () => Promise.resolve([]),
      close: () => Promise.resolve([]),
      reopen: () => {
        reopened();
        return Promise.resolve();
      },
      closeLost: (living: readonly bigint[]) => {
        lost.push(living);
        return lost.length > failures ? Promise.resolve([]) : Promise.reject(new Error("away"));
      },
    } as unknown as ChannelStore;
    const sessions = { endIfExpired: (id: string) => Promise.resolve((expired.push(id), undefined)) };
    const metrics = createControllerMetrics(createRegistry());
    const database = { isReady: () => ready };
    registry = new SessionRegistry({ channels, sessions, database, log: silentLog, metrics, clock });
  });

  it("ends a session at its time, even one that is further away than a timer reaches", async () => {
    next = { ...(next as OpenedChannel), remainingMs: MONTH_MS };
    const channel = await registry.open(REQUEST);
    clock.advance(MONTH_MS);
    expect(channel?.isClosing).to.equal(false);
    clock.advance(10);
    expect(channel?.isClosing).to.equal(true);
    expect(expired).to.deep.equal(["s"]);
  });

  it("leaves no timer behind when the last channel is gone", async () => {
    next = { ...(next as OpenedChannel), remainingMs: 1_000 };
    const channel = await registry.open(REQUEST);
    if (!channel) throw new Error("no channel");
    registry.closed(channel, "VIEWER_LEFT");
    expect(clock.waiting).to.equal(0);
    expect(registry.size).to.equal(0);
  });

  it("looks for channels of openings that were not heard of, once they must have settled", async () => {
    await registry.open(REQUEST);
    next = new Error("no answer");
    await rejectionOf(registry.open(REQUEST));
    clock.advance(SESSION_SYNC_MS);
    await registry.sync();
    for (let waited = 0; waited < CHANNEL_SETTLES_MS; waited += HEARTBEAT_INTERVAL_MS) {
      expect(lost).to.deep.equal([]);
      clock.advance(HEARTBEAT_INTERVAL_MS);
      await registry.sync();
    }
    expect(lost).to.deep.equal([[1n]]);
  });

  it("looks for them as long as they may have come late, and no longer", async () => {
    next = new Error("no answer");
    await rejectionOf(registry.open(REQUEST));
    clock.advance(CHANNEL_SETTLES_MS + 1);
    await registry.sync();
    await registry.sync();
    clock.advance(CHANNEL_SETTLES_MS);
    await registry.sync();
    expect(lost).to.have.length(3);
    await registry.sync();
    expect(lost).to.have.length(3);
  });

  it("gives a Postgres that was away the same time once it is back", async () => {
    next = new Error("no answer");
    await rejectionOf(registry.open(REQUEST));
    ready = false;
    clock.advance(10 * CHANNEL_SETTLES_MS);
    await registry.sync();
    ready = true;
    await registry.sync();
    expect(lost).to.deep.equal([]);
    clock.advance(CHANNEL_SETTLES_MS + 1);
    await registry.sync();
    expect(lost).to.have.length(1);
  });

  it("looks for them again where it could not", async () => {
    failures = 1;
    next = new Error("no answer");
    await rejectionOf(registry.open(REQUEST));
    clock.advance(2 * CHANNEL_SETTLES_MS + 1);
    await registry.sync();
    await registry.sync();
    await registry.sync();
    expect(lost).to.have.length(2);
  });

  it("looks for those that closed while it took its channels back, since they may be open again", async () => {
    const channel = await registry.open(REQUEST);
    if (!channel) throw new Error("no channel");
    clock.advance(HEARTBEAT_INTERVAL_MS + 1);
    reopened = () => registry.closed(channel, "VIEWER_SILENT");
    await registry.sync();
    expect(lost).to.deep.equal([]);
    clock.advance(CHANNEL_SETTLES_MS + 1);
    await registry.sync();
    expect(lost).to.deep.equal([[]]);
  });

  it("closes what was being let in while it closed all", async () => {
    const opening = registry.open(REQUEST);
    registry.closeAll();
    expect((await opening)?.isClosing).to.equal(true);
  });
});
