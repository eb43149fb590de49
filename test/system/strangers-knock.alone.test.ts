// SPDX-License-Identifier: Apache-2.0
// Strangers at the doors for viewers and for tunnels: whatever they send, or do not send, those who belong there come in,
// and the controller is afterwards what it was before.
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { waitUntil } from "../../demo/wait-until.js";
import { VIEWER_DB_CONNECTIONS } from "../../src/lib/limits.js";
import { requireAddress } from "../../src/lib/listen-address.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { Deployment } from "../harness/deployment.js";
import { openDescriptors, residentMiB } from "../harness/process-facts.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { countWaiting, whileLocked } from "../harness/test-database.js";
import { tunnelRequest } from "../harness/tunnel-client.js";
import { postToken, tokenOf } from "../harness/viewer.js";

const CROWD = 3_000;
// Who has to wait for strangers waits until they are cut, ten seconds at least.
const GOOD_MS = 5_000;
/** Late requests are looked for five times in their time. */
const CUT_MS = 15_000;
const DESCRIPTORS = 20;
/** A leak of all the strangers does not fit into it. */
const HEAP_MIB = 128;
const GROWTH_MIB = 160;
const TOGETHER = 1_000;
const UPGRADE =
  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: binary\r\n";

describe("Strangers knock", function () {
  this.timeout(120_000);
  const machine = { uuid: randomUUID(), name: "strangers-knock" };
  const strangers: Socket[] = [];
  let display: FakeDisplay;
  let deployment: Deployment;
  let memory: number;
  let descriptors: number;

  before(async () => {
    display = await FakeDisplay.start((socket) => socket.pipe(socket));
    deployment = await Deployment.start({
      libvirtUri: display.libvirtUri([machine]),
      controller: { log: { level: "info" } },
      heapMiB: HEAP_MIB,
    });
    await deployment.knows(machine.uuid);
    await goodViewerComesIn();
    const { pid } = deployment.controller;
    memory = residentMiB(pid);
    descriptors = openDescriptors(pid);
  });
  after(async () => {
    await deployment.stop();
    await display.stop();
  });
  afterEach(async () => {
    for (const stranger of strangers.splice(0)) stranger.destroy();
    await goodViewerComesIn();
    const { pid } = deployment.controller;
    const back = (): boolean => openDescriptors(pid) <= descriptors + DESCRIPTORS;
    await waitUntil(back, { ms: 10_000, what: "the descriptors to be closed" });
    expect(residentMiB(pid) - memory, "MiB grown").to.be.below(GROWTH_MIB);
  });

  for (const [door, what] of [
    ["proxy", "viewers"],
    ["tunnel", "tunnels"],
  ] as const) {
    describe(`at the door for ${what}`, () => {
      it("by the thousands and say nothing", async () => {
        const crowd = await gather(door, CROWD);
        await goodViewerComesIn();
        await areGone(crowd);
      });

      it("by the thousands, each with one line of its request and then another", async () => {
        const crowd = await gather(door, CROWD);
        let line = 0;
        for (const stranger of crowd) stranger.write("GET /console HTTP/1.1\r\nHost: a\r\n");
        const drip = setInterval(() => {
          line += 1;
          for (const stranger of crowd) if (stranger.writable) stranger.write(`X-${line}: y\r\n`);
        }, 500);
        try {
          await goodViewerComesIn();
          await areGone(crowd);
        } finally {
          clearInterval(drip);
        }
      });

      it("with garbage, huge headers and endless lines", async () => {
        const garbage = [
          randomBytes(64 * 1024),
          Buffer.alloc(64 * 1024, "a"),
          Buffer.from(`GET /${"a".repeat(64 * 1024)} HTTP/1.1\r\n\r\n`),
          Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(16 * 1024)}\r\n`),
          Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\nzz`),
          Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
          Buffer.from("16030100f1010000ed0303", "hex"),
          Buffer.from("GET /s/../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
          Buffer.from("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"),
          Buffer.from("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nConnection: close\r\n\r\n"),
        ];
        const crowd = await gather(door, 300);
        crowd.forEach((stranger, index) => stranger.write(garbage[index % garbage.length]!));
        await goodViewerComesIn();
        await areGone(crowd);
      });

      it("and leave in the middle of everything", async () => {
        const requests = [
          "GET /console HTTP/1.1\r\nHost: a\r\n\r\n",
          `GET /s/${"a".repeat(22)}/channel HTTP/1.1\r\nHost: a\r\nCookie: spicegate_session=${"b".repeat(43)}\r\n${UPGRADE}\r\n`,
          'POST /api/sessions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"tok',
          tunnelRequest("c".repeat(43)),
        ];
        const crowd = await gather(door, 1_000);
        crowd.forEach((stranger, index) => {
          stranger.write(requests[index % requests.length]!, () => stranger.resetAndDestroy());
        });
        await areGone(crowd);
      });
    });
  }

  it("with wrong secrets at the door for tunnels, a thousand of them", async () => {
    const crowd = await gather("tunnel", 1_000);
    for (const stranger of crowd) stranger.write(tunnelRequest(randomBytes(32).toString("base64url")));
    await goodViewerComesIn();
    await areGone(crowd);
  });

  it("with upgrades without a cookie, and with that of nobody, a thousand of each", async () => {
    const crowd = await gather("proxy", 2_000);
    crowd.forEach((stranger, index) => {
      const cookie = index % 2 === 0 ? "" : `Cookie: spicegate_session=${randomBytes(32).toString("base64url")}\r\n`;
      const session = randomBytes(16).toString("base64url");
      stranger.write(`GET /s/${session}/channel HTTP/1.1\r\nHost: ${deployment.proxy}\r\n${cookie}${UPGRADE}\r\n`);
    });
    await areGone(crowd);
  });

  it("with a thousand tokens that nobody issued", async () => {
    const tokens = Array.from({ length: TOGETHER }, () => randomBytes(32).toString("base64url"));
    const answers = await Promise.all(tokens.map((token) => postToken(deployment.proxy, token)));
    const reasons = new Set(answers.map(({ body }) => body["reason"]));
    expect(["TOKEN_INVALID", "DATABASE_UNAVAILABLE"]).to.include.members([...reasons]);
  });

  it("and leave callers their way to the database while hundreds of them wait for it", async () => {
    const cookie = `Cookie: spicegate_session=${"b".repeat(43)}\r\n`;
    const crowd = await gather("proxy", 250);
    await whileLocked(deployment.databaseUrl, ["lock table console_sessions in exclusive mode"], async () => {
      for (const stranger of crowd)
        stranger.write(`GET /s/${"a".repeat(22)}/channel HTTP/1.1\r\nHost: a\r\n${cookie}${UPGRADE}\r\n`);
      const waiting = async (): Promise<boolean> =>
        (await countWaiting(deployment.databaseUrl)) >= VIEWER_DB_CONNECTIONS;
      await waitUntil(waiting, { ms: 5_000, what: "strangers to wait for the database" });
      expect(await deployment.getConsole(machine.uuid)).to.include({ ok: true });
    });
    await areGone(crowd);
  });

  it("while a thousand who belong there come at once, each of whom gets one session", async () => {
    const tokens: string[] = [];
    while (tokens.length < TOGETHER) {
      const results = await Promise.all(Array.from({ length: 50 }, () => deployment.getConsole(machine.uuid)));
      for (const result of results) if (result.ok) tokens.push(tokenOf(result.response.url));
    }
    const sessions = new Map<string, string>();
    const reasons = new Set<unknown>();
    let waiting = tokens;
    for (let round = 0; waiting.length > 0 && round < 20; round += 1) {
      const answers = await Promise.all(
        waiting.map(async (token) => ({ token, ...(await postToken(deployment.proxy, token)) })),
      );
      for (const { token, status, body } of answers) {
        if (status === 201) sessions.set(token, String(body["session_id"]));
        else reasons.add(body["reason"]);
      }
      waiting = waiting.filter((token) => !sessions.has(token));
    }
    expect(["LIMITED", "DATABASE_UNAVAILABLE"]).to.include.members([...reasons]);
    expect(new Set(sessions.values())).to.have.property("size", tokens.length);
  });

  /** So many connections to one of the doors, most of them accepted: the kernel's queue is short. */
  async function gather(door: "proxy" | "tunnel", count: number): Promise<readonly Socket[]> {
    const { pid } = deployment.controller;
    const crowd: Socket[] = [];
    while (crowd.length < count) {
      const before = openDescriptors(pid);
      crowd.push(...(await Promise.all(Array.from({ length: 100 }, () => knock(door)))));
      // Half of them, since others may be closed at the same time: what earlier tests have left, or strangers that were cut.
      const accepted = (): boolean => openDescriptors(pid) >= before + 50;
      await waitUntil(accepted, { ms: 10_000, what: "the strangers to be accepted" });
    }
    return crowd;
  }

  /** A connection to one of the doors. */
  function knock(door: "proxy" | "tunnel"): Promise<Socket> {
    return new Promise((resolve) => {
      const socket = connect(requireAddress(deployment[door]), () => resolve(socket));
      socket.on("error", () => resolve(socket));
      socket.resume();
      strangers.push(socket);
    });
  }

  async function areGone(crowd: readonly Socket[]): Promise<void> {
    const gone = (): boolean => crowd.every(({ readyState }) => readyState !== "open");
    await waitUntil(gone, { ms: CUT_MS, what: "the strangers to be sent away" });
  }

  /** Somebody who belongs there gets through both doors in time. */
  async function goodViewerComesIn(): Promise<void> {
    const began = performance.now();
    const viewer = await deployment.openConsole(machine.uuid);
    const socket = await viewer.connect();
    socket.send(clientLink({ type: SPICE_CHANNEL.main }));
    socket.send(Buffer.from("hello"));
    expect((await socket.read(5)).toString()).to.equal("hello");
    expect(performance.now() - began, "ms for a good viewer").to.be.below(GOOD_MS);
    await socket.close();
  }
});
