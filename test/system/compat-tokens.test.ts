// SPDX-License-Identifier: Apache-2.0
// Viewers made for Nova's proxy: bare WebSockets that bring nothing but the token of their console's URL.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { waitUntil } from "../../demo/wait-until.js";
import type { Session } from "../../proto/gen/spicegate/session/v1/session.js";
import { EndReason, ListSessionsRequest } from "../../proto/gen/spicegate/session/v1/session.js";
import { requireAddress } from "../../src/lib/listen-address.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { Deployment, hashOf } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { responseOf } from "../harness/inventory-calls.js";
import { residentMiB } from "../harness/process-facts.js";
import { rejectionOf } from "../harness/rejection.js";
import { clientLink, SPICE_CHANNEL } from "../harness/spice-wire.js";
import { runStatement } from "../harness/test-database.js";
import { refusalOf, tokenOf, ViewerSocket } from "../harness/viewer.js";

const { main, display: screen, inputs, cursor, playback, record, usbredir } = SPICE_CHANNEL;
const SIX_MORE = [screen, inputs, cursor, playback, record, usbredir];
const HOSTS = 10_000;
/** All of them together are 60 MB, which fit into neither bound. */
const HOST_BYTES = 6_000;
const HEAP_MIB = 96;
const GROWTH_MIB = 48;

describe("A token that opens its console again and again", function () {
  this.timeout(60_000);
  const machine = { uuid: randomUUID(), name: "compat-tokens" };
  let display: FakeDisplay;
  let deployment: Deployment;
  let token: string;

  before(async () => {
    display = await FakeDisplay.start((socket) => socket.pipe(socket));
    deployment = await Deployment.start({
      libvirtUri: display.libvirtUri([machine]),
      controller: {
        console: { compat_tokens: true, channel_types: Object.keys(SPICE_CHANNEL) },
        log: { level: "info" },
      },
      heapMiB: HEAP_MIB,
    });
    await deployment.knows(machine.uuid);
  });
  beforeEach(async () => {
    const { url } = responseOf(await deployment.getConsole(machine.uuid));
    expect(url).to.match(/\/spice_auto\.html\?token=/);
    token = tokenOf(url);
  });
  after(async () => {
    await deployment.stop();
    await display.stop();
  });

  const enter = (path = `/websockify?token=${token}`, headers: Record<string, string> = {}): Promise<ViewerSocket> =>
    ViewerSocket.open(`ws://${deployment.proxy}${path}`, headers);

  /** How an attempt is refused. */
  async function refusal(path?: string, headers?: Record<string, string>): Promise<[number, unknown]> {
    const { status, body } = await refusalOf(enter(path, headers));
    return [status, body["reason"]];
  }

  /** Says which channel it is, and that bytes go to the display and back. */
  async function speak(socket: ViewerSocket, type: number): Promise<void> {
    socket.send(clientLink({ type, connectionId: type === main ? 0 : 7 }));
    await echo(socket);
  }

  async function echo(socket: ViewerSocket): Promise<void> {
    socket.send(Buffer.from("hello"));
    expect((await socket.read(5)).toString()).to.equal("hello");
  }

  async function joined(): Promise<ViewerSocket> {
    const socket = await enter();
    await speak(socket, main);
    return socket;
  }

  /** The newest session of the machine. */
  async function newest(): Promise<Session> {
    const list = deployment.session.listSessions.bind(deployment.session);
    const request = ListSessionsRequest.fromPartial({ instanceUuid: machine.uuid, includeEnded: true });
    const [session] = responseOf(await callUnary(list, request)).sessions;
    if (!session) throw new Error("the machine has no session");
    return session;
  }

  const change = (set: string): Promise<unknown> =>
    runStatement(deployment.databaseUrl, `update console_auth_tokens set ${set} where token_hash = $1`, [
      hashOf(token),
    ]);
  const terminate = async ({ sessionId }: Session): Promise<unknown> =>
    responseOf(await callUnary(deployment.session.terminateSession.bind(deployment.session), { sessionId }));
  const lookup = (): Promise<{ ok: boolean }> =>
    callUnary(deployment.console.lookupConsoleToken.bind(deployment.console), { token });

  it("has the seven channels of a viewer in one session", async () => {
    const [first, ...others] = await Promise.all(Array.from({ length: 7 }, () => enter()));
    await speak(first!, main);
    for (const [at, type] of SIX_MORE.entries()) await speak(others[at]!, type);
    const session = await newest();
    expect(session).to.include({ subject: "loopback", openChannels: 7 });
    await terminate(session);
    for (const socket of [first!, ...others]) expect(await socket.ends()).to.include({ code: 4001 });
  });

  it("opens it a second time, in the session that is still there", async () => {
    const first = await joined();
    const { sessionId } = await newest();
    await first.close();
    const second = await joined();
    expect((await newest()).sessionId).to.equal(sessionId);
    await second.close();
  });

  it("comes in the query or in a cookie, and the query wins", async () => {
    for (const [path, cookie] of [
      [`/?token=${token}`, undefined],
      ["/websockify", `token=${token}`],
      [`/any/where?x=1&token=nonsense&token=${token}`, "token=nonsense"],
      ["/websockify?token=", `{malformed; ;=; token=${token}`],
    ] as const) {
      const socket = await enter(path, cookie === undefined ? {} : { cookie });
      await socket.close();
    }
    expect(await refusal("/?token=nonsense", { cookie: `token=${token}` })).to.deep.equal([401, "TOKEN_INVALID"]);
    expect(await refusal("/")).to.deep.equal([401, "TOKEN_INVALID"]);
    expect(await refusal(`/s/${"a".repeat(22)}/channel?token=${token}`)).to.deep.equal([404, "NOT_FOUND"]);
  });

  it("is refused once it has expired, and what is open goes on", async () => {
    const socket = await joined();
    await change("expires = floor(extract(epoch from now()))");
    expect(await refusal()).to.deep.equal([401, "TOKEN_EXPIRED"]);
    await echo(socket);
    await socket.close();
  });

  it("is refused where it is for another viewer", async () => {
    for (const type of ["novnc", "spice-direct"]) {
      await change(`console_type = '${type}'`);
      expect(await refusal()).to.deep.equal([400, "CONSOLE_TYPE_INVALID"]);
    }
  });

  it("is refused where the display has another port by now", async () => {
    await change("port = 1");
    expect(await refusal()).to.deep.equal([409, "TARGET_CHANGED"]);
  });

  it("goes with a session that somebody has ended", async () => {
    const socket = await joined();
    const session = await newest();
    await terminate(session);
    expect(await socket.ends()).to.deep.equal({ code: 4001, reason: "TERMINATED" });
    expect(await refusal()).to.deep.equal([410, "SESSION_ENDED"]);
    expect((await newest()).sessionId).to.equal(session.sessionId);
  });

  it("begins another session after one that nobody had joined for too long", async () => {
    await (await joined()).close();
    const { sessionId } = await newest();
    const long = "update console_sessions set empty_since = now() - interval '1 hour' where session_id = $1";
    const abandoned = async (): Promise<boolean> => {
      await runStatement(deployment.databaseUrl, `${long} and empty_since is not null`, [sessionId]);
      return (await newest()).endReason === EndReason.END_REASON_ABANDONED;
    };
    await waitUntil(abandoned, { ms: 25_000, what: "the session to be swept" });
    const socket = await joined();
    expect((await newest()).sessionId).not.to.equal(sessionId);
    await socket.close();
  });

  it("can be looked up and revoked though it was used; what is open goes on", async () => {
    const socket = await joined();
    expect(await lookup()).to.include({ ok: true });
    const revoke = deployment.console.revokeConsoleTokens.bind(deployment.console);
    const { revoked } = responseOf(await callUnary(revoke, { instanceUuid: machine.uuid }));
    expect(revoked).to.be.above(0);
    expect(await refusal()).to.deep.equal([401, "TOKEN_INVALID"]);
    expect(await lookup()).to.include({ ok: false });
    await echo(socket);
    await socket.close();
  });

  it("is refused from another page, before and with a session, and that is counted", async () => {
    const origin = "https://elsewhere.example";
    expect(await refusal(undefined, { origin })).to.deep.equal([403, "ORIGIN_REFUSED"]);
    const socket = await enter(undefined, { origin: `http://${deployment.proxy}` });
    expect(await refusal(undefined, { origin })).to.deep.equal([403, "ORIGIN_REFUSED"]);
    expect(await deployment.metric('spicegate_viewer_refusals_total{reason="ORIGIN_REFUSED"}')).to.be.above(1);
    await socket.close();
  });

  it("leaves nothing behind of ten thousand hosts that were invented", async () => {
    const { pid } = deployment.controller;
    await knock(HOSTS / 10);
    const before = residentMiB(pid);
    await knock(HOSTS);
    expect(residentMiB(pid) - before, "MiB grown").to.be.below(GROWTH_MIB);
  });

  /** So many upgrades, each to another host and from a page of a third. */
  async function knock(count: number): Promise<void> {
    for (let sent = 0; sent < count; sent += 100) {
      const answers = Array.from({ length: 100 }, (_, more) =>
        answerTo(`${sent + more}.${"x".repeat(HOST_BYTES)}.example`),
      );
      expect(new Set(await Promise.all(answers))).to.deep.equal(new Set(["HTTP/1.1 403 Forbidden"]));
    }
  }

  function answerTo(host: string): Promise<string> {
    const lines = [
      `GET /websockify?token=${token} HTTP/1.1`,
      `Host: ${host}`,
      `Origin: http://page.${host}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    return new Promise((resolve, reject) => {
      const socket = connect(requireAddress(deployment.proxy), () => socket.write(`${lines.join("\r\n")}\r\n\r\n`));
      socket.once("data", (answer: Buffer) => resolve(answer.toString().split("\r\n", 1)[0] ?? ""));
      socket.once("error", reject);
    });
  }
});

describe("A controller without the page that its consoles are to be opened with", function () {
  this.timeout(60_000);

  it("does not start, and says what to install", async () => {
    const controller = { console: { compat_tokens: true }, proxy: { web: "/nowhere" } };
    const deployment = await Deployment.create({ controller });
    await rejectionOf(deployment.controller.start());
    expect(deployment.logs()).to.include(
      "there is no spice_auto.html in /nowhere; install the Debian package spice-html5",
    );
    await deployment.stop();
  });
});
