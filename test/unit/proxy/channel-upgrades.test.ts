// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import { WebSocket } from "ws";
import { MAX_UPGRADES_UNDER_WAY, MAX_VIEWER_MESSAGE_BYTES } from "../../../src/lib/limits.js";
import type { ErrorReason } from "../../../src/lib/service-error.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { ProxyServerOptions } from "../../../src/proxy/proxy-server.js";
import { until, within } from "../../harness/within.js";
import { COOKIE, firstBytes, PROOF, ProxyUnderTest, received, SESSION_ID } from "./proxy-harness.js";

const CHANNEL = `/s/${SESSION_ID}/channel`;

describe("ChannelUpgrades", () => {
  let proxy: ProxyUnderTest;
  const others: ProxyUnderTest[] = [];

  /** Another proxy with other settings; stopped with the test. */
  const proxyWith = async (options: Partial<ProxyServerOptions>): Promise<ProxyUnderTest> => {
    const other = new ProxyUnderTest(options);
    others.push(other);
    return other.start();
  };

  beforeEach(async () => (proxy = await new ProxyUnderTest().start()));
  afterEach(async () => {
    await Promise.all([proxy, ...others.splice(0)].map((one) => one.stop()));
  });

  const open = async (protocols: string[]): Promise<WebSocket> => {
    const webSocket = new WebSocket(`${proxy.origin.replace("http", "ws")}${CHANNEL}`, protocols, {
      headers: { cookie: COOKIE },
      origin: proxy.origin,
    });
    await within("the WebSocket", once(webSocket, "open"));
    return webSocket;
  };

  it("hands an accepted viewer over with its channel, and keeps early frames", async () => {
    const socket = proxy.connect();
    // A frame with four zero bytes for a mask: it reads as it is.
    const frame = Buffer.from([0x82, 0x85, 0, 0, 0, 0, ...Buffer.from("early")]);
    let message: Promise<unknown[]> | undefined;
    const watched = await proxyWith({
      runViewer: ({ webSocket, channel }) => {
        expect(channel).to.equal(watched.viewers.channels[0]);
        message = once(webSocket, "message");
        return Promise.resolve();
      },
    });
    socket.destroy();
    const early = watched.connect();
    early.write(Buffer.concat([Buffer.from(watched.upgrade({ "x-request-id": "r-1" })), frame]));
    const answer = await firstBytes(early);
    expect(answer)
      .to.match(/^HTTP\/1.1 101 /)
      .and.to.include("Sec-WebSocket-Protocol: binary\r\n");
    expect(answer).to.include("x-request-id: r-1\r\n");
    await until("the viewer", () => message !== undefined);
    expect(String((await within("the frame", message!))[0])).to.equal("early");
    expect(watched.viewers.contexts[0]).to.include({ requestId: "r-1", clientAddress: "127.0.0.1" });
    const line = watched.log.at("info").find(({ route }) => route === "/s/{session}/channel");
    expect(line).to.include({ status: 101, reason: "OK", requestId: "r-1" });
    early.destroy();
  });

  it("speaks the sub-protocol binary, or none where none is offered", async () => {
    for (const [offered, spoken] of [
      [["binary"], "binary"],
      [["x", "binary"], "binary"],
      [[], ""],
    ] as [string[], string][]) {
      const webSocket = await open(offered);
      expect(webSocket.protocol).to.equal(spoken);
      expect(webSocket.extensions).to.equal("");
      webSocket.terminate();
    }
    const before = proxy.viewers.channels.length;
    for (const offered of ["chat", "BINARY", "binary, binary", "binary,", "binary, a b"]) {
      expect(await proxy.upgradeAnswer({ "sec-websocket-protocol": offered }), offered).to.equal(
        "400 INVALID_ARGUMENT",
      );
    }
    expect(proxy.viewers.channels).to.have.length(before);
  });

  it("takes messages up to their bound", async () => {
    const webSocket = await open(["binary"]);
    const closed = once(webSocket, "close");
    await until("the viewer", () => proxy.accepted.length === 1);
    const taken = once(proxy.accepted[0]!.webSocket, "message");
    webSocket.send(Buffer.alloc(MAX_VIEWER_MESSAGE_BYTES));
    await within("the message", taken);
    webSocket.send(Buffer.alloc(MAX_VIEWER_MESSAGE_BYTES + 1));
    expect((await within("the close", closed))[0]).to.equal(1009);
  });

  it("refuses what is no WebSocket before there is a channel", async () => {
    const refused: Record<string, string | undefined>[] = [
      { upgrade: "h2c" },
      { "sec-websocket-version": "8" },
      { "sec-websocket-version": undefined },
      { "sec-websocket-key": undefined },
      { "sec-websocket-key": "short" },
    ];
    for (const headers of refused) {
      expect(await proxy.upgradeAnswer(headers), JSON.stringify(headers)).to.equal("400 INVALID_ARGUMENT");
    }
    expect(await proxy.exchange(proxy.upgrade().replace("GET", "POST"))).to.match(/^HTTP\/1.1 400 /);
    expect(proxy.viewers.contexts).to.have.length(0);
  });

  it("is at one address only", async () => {
    for (const path of [
      "/",
      "/console",
      "/api/sessions",
      `${CHANNEL}/`,
      `${CHANNEL}?a=b`,
      `/${CHANNEL}`,
      `/s/${SESSION_ID}/../${SESSION_ID}/channel`,
      "/s/short/channel",
      `/s/${SESSION_ID}/CHANNEL`,
      `http://x${CHANNEL}`,
    ]) {
      expect(await proxy.upgradeAnswer({}, path), path).to.equal("404 NOT_FOUND");
    }
  });

  it("refuses whoever has no proof, or that of another session, in the same words", async () => {
    const refused: [Record<string, string | undefined>, string][] = [
      [{ cookie: undefined }, CHANNEL],
      [{ cookie: `spicegate_session=${"q".repeat(43)}` }, CHANNEL],
      [{}, `/s/${"B".repeat(22)}/channel`],
      [{ cookie: `${COOKIE}; spicegate_session=${"q".repeat(43)}` }, CHANNEL],
    ];
    const bodies = new Set<string | undefined>();
    for (const [headers, path] of refused) {
      const answer = await proxy.exchange(proxy.upgrade({ ...headers, "x-request-id": "r-1" }, path));
      expect(answer).to.match(/^HTTP\/1.1 404 Not Found\r\n/);
      bodies.add(answer.split("\r\n\r\n")[1]);
    }
    expect([...bodies]).to.have.length(1);
    expect(JSON.parse([...bodies][0]!)).to.include({ reason: "SESSION_NOT_FOUND", request_id: "r-1" });
    // The others have a proof, which only the use case can refuse.
    const noProof = ["SESSION_NOT_FOUND", SESSION_ID];
    expect(proxy.refused).to.deep.equal([noProof, noProof]);
  });

  it("answers each refusal of the session with the status of its reason, and closes", async () => {
    const statuses: [ErrorReason, number][] = [
      ["SESSION_ENDED", 410],
      ["LIMITED", 429],
      ["DRAINING", 503],
      ["DATABASE_UNAVAILABLE", 503],
    ];
    for (const [reason, status] of statuses) {
      proxy.viewers.open = () => Promise.reject(new ServiceError(reason, "in words"));
      const answer = await proxy.exchange(proxy.upgrade());
      expect(answer)
        .to.match(new RegExp(`^HTTP/1.1 ${status} `))
        .and.to.include(`"reason":"${reason}"`);
      expect(answer.includes("retry-after: 1\r\n"), reason).to.equal(reason !== "SESSION_ENDED");
    }
    proxy.viewers.open = () => Promise.reject(new Error("password=hunter2"));
    expect(await proxy.exchange(proxy.upgrade()))
      .to.match(/^HTTP\/1.1 500 /)
      .and.not.to.include("hunter2");
    expect(JSON.stringify(proxy.log.at("error"))).to.include("hunter2");
  });

  it("accepts its own origin, listed ones and no browser, and nothing else", async () => {
    const port = proxy.server.port;
    const listing = await proxyWith({ allowedOrigins: ["https://dashboard.example"] });
    const framed = await proxyWith({ frameAncestors: ["https://dashboard.example"] });
    const matrix: [ProxyUnderTest, string | undefined, string][] = [
      [proxy, proxy.origin, "101"],
      [proxy, undefined, "101"],
      [proxy, `http://127.0.0.1:${port === 1 ? 2 : 1}`, "403 ORIGIN_REFUSED"],
      [proxy, `https://127.0.0.1:${port}`, "403 ORIGIN_REFUSED"],
      [proxy, `http://localhost:${port}`, "403 ORIGIN_REFUSED"],
      [proxy, "null", "403 ORIGIN_REFUSED"],
      [proxy, "https://dashboard.example", "403 ORIGIN_REFUSED"],
      [listing, "https://dashboard.example", "101"],
      [listing, "http://dashboard.example", "403 ORIGIN_REFUSED"],
      [framed, undefined, "403 ORIGIN_REFUSED"],
      [framed, framed.origin, "101"],
      [framed, "https://dashboard.example", "403 ORIGIN_REFUSED"],
    ];
    for (const [on, origin, answer] of matrix) {
      expect(await on.upgradeAnswer({ origin }), String(origin)).to.equal(answer);
    }
    const posted = await proxy.redeem("good", { origin: "http://127.0.0.1:1" });
    expect(posted.status).to.equal(403);
    const refused = ["ORIGIN_REFUSED", SESSION_ID];
    expect(proxy.refused).to.deep.equal([...Array<unknown>(5).fill(refused), ["ORIGIN_REFUSED", undefined]]);
    expect((await framed.redeem("good")).status).to.equal(403);
    const cookie = (await framed.redeem("good", { origin: framed.origin })).headers.get("set-cookie");
    expect(cookie).to.match(/; SameSite=None; Secure; Partitioned$/);
    const policy = (await framed.fetch("/console")).headers.get("content-security-policy");
    expect(policy).to.match(/; frame-ancestors 'self' https:\/\/dashboard.example$/);
  });

  it("believes X-Forwarded-* only from a configured balancer", async () => {
    const headers = {
      origin: "https://console.example",
      "x-forwarded-host": "console.example",
      "x-forwarded-proto": "https",
      "x-forwarded-for": "203.0.113.9",
    };
    expect(await proxy.upgradeAnswer(headers)).to.equal("403 ORIGIN_REFUSED");
    const behind = await proxyWith({ trustedProxies: ["127.0.0.0/8"] });
    expect(await behind.upgradeAnswer(headers)).to.equal("101");
    expect(behind.viewers.contexts[0]).to.include({ clientAddress: "203.0.113.9" });
    expect((await behind.redeem("good", headers)).headers.get("set-cookie")).to.match(/; SameSite=Strict; Secure$/);
    expect((await proxy.redeem("good", { ...headers, origin: proxy.origin })).headers.get("set-cookie")).to.match(
      /; SameSite=Strict$/,
    );
    expect(proxy.viewers.contexts.at(-1)).to.include({ clientAddress: "127.0.0.1" });
  });

  it("closes the channel of a viewer that was reset meanwhile", async () => {
    let opened = (): void => undefined;
    proxy.viewers.open = () => new Promise((resolve) => (opened = resolve));
    const socket = proxy.connect();
    socket.write(proxy.upgrade());
    await until("the use case", () => proxy.viewers.contexts.length === 1);
    socket.resetAndDestroy();
    await until("the signal", () => proxy.viewers.contexts[0]!.signal.aborted);
    opened();
    await until("the channel", () => proxy.viewers.channels.length === 1);
    await until("its end", () => proxy.viewers.channels[0]!.reasons.length === 1);
    expect(proxy.viewers.channels[0]!.reasons).to.deep.equal(["VIEWER_LEFT"]);
    expect(proxy.accepted).to.have.length(0);
  });

  it("lets in only so many at a time, and the next when one is through", async () => {
    const opens: (() => void)[] = [];
    proxy.viewers.open = () => new Promise((resolve) => opens.push(resolve));
    const sockets = Array.from({ length: MAX_UPGRADES_UNDER_WAY }, () => proxy.connect());
    for (const socket of sockets) socket.write(proxy.upgrade());
    await until("all of them", () => opens.length === MAX_UPGRADES_UNDER_WAY);
    expect(await proxy.upgradeAnswer()).to.equal("429 LIMITED");
    const through = firstBytes(sockets[0]!);
    opens[0]!();
    expect(await through).to.match(/^HTTP\/1.1 101 /);
    const next = proxy.connect();
    next.write(proxy.upgrade());
    await until("the next", () => opens.length === MAX_UPGRADES_UNDER_WAY + 1);
    for (const socket of [...sockets, next]) socket.destroy();
    // The proxy's stop waits for requests under way.
    for (const open of opens) open();
  });

  it("does not leave a refused connection half open", async () => {
    const socket = proxy.connect();
    socket.allowHalfOpen = true;
    const closed = received(socket);
    socket.write(proxy.upgrade({ cookie: undefined }));
    // The client never closes by itself; what it still sends meets a closed connection.
    const poke = setInterval(() => socket.write("x"), 20);
    try {
      expect(await within("the end", closed)).to.match(/^HTTP\/1.1 404 /);
    } finally {
      clearInterval(poke);
    }
  });

  it("tells the session's address and proof to the use case as they are", async () => {
    const asked: string[] = [];
    proxy.viewers.openChannel = (sessionId, proof) => {
      asked.push(sessionId, proof);
      return Promise.reject(new ServiceError("LIMITED", "x"));
    };
    await proxy.upgradeAnswer();
    expect(asked).to.deep.equal([SESSION_ID, PROOF]);
  });
});
