// SPDX-License-Identifier: Apache-2.0
import type { HttpServer } from "../../../src/http/http-server.js";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Registry } from "prom-client";
import type {
  OpenedSession,
  PresentedUrl,
  Redeeming,
  SessionStatus,
  TokenEntrance,
  ViewerChannel,
  ViewerContext,
  ViewerSessions,
} from "../../../src/console/viewer.js";
import { MAX_VIEWER_MESSAGE_BYTES } from "../../../src/lib/limits.js";
import { NO_CALL_LIMITS } from "../../../src/rpc/call-limits.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import type { AcceptedViewer } from "../../../src/proxy/channel-upgrades.js";
import type { ProxyServerOptions } from "../../../src/proxy/proxy-server.js";
import { createProxyServer } from "../../../src/proxy/proxy-server.js";
import type { ChannelEndReason, Session } from "../../../src/sessions/session.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { within } from "../../harness/within.js";

export const SESSION_ID = "AAAAAAAAAAAAAAAAAAAAAA";
export const PROOF = "p".repeat(43);
export const COOKIE = `spicegate_session=${PROOF}`;

export const SESSION: Session = {
  sessionId: SESSION_ID,
  instanceUuid: "6f70656e-7374-4163-8b00-000000000001",
  instanceName: "web-1",
  projectId: "p1",
  host: "h1",
  consoleType: "spice-html5",
  subject: "alice",
  clientAddress: "127.0.0.1",
  openedAt: new Date(0),
  lastInputAt: undefined,
  expiresAt: new Date("2030-01-02T03:04:05Z"),
  endedAt: undefined,
  endReason: undefined,
  endedBy: "",
  openChannels: 0,
  viewOnly: false,
};

/** A channel that remembers how it was closed. */
export class FakeChannel implements Pick<ViewerChannel, "closed"> {
  readonly reasons: ChannelEndReason[] = [];

  closed(reason: ChannelEndReason): void {
    this.reasons.push(reason);
  }
}

/** One session with one proof; every method can be replaced by a test. */
export class FakeViewers implements Redeeming, ViewerSessions {
  readonly contexts: ViewerContext[] = [];
  readonly ended: string[] = [];
  readonly channels: FakeChannel[] = [];
  redeem = (token: string): Promise<OpenedSession> =>
    token === "good"
      ? Promise.resolve({ session: SESSION, proof: PROOF })
      : Promise.reject(new ServiceError("TOKEN_INVALID", "there is no such token"));
  stand = (): Promise<SessionStatus> =>
    Promise.resolve({ state: "open", session: SESSION, instance: undefined, draining: false, idle: undefined });
  open = (): Promise<void> => Promise.resolve();

  execute(token: string, context: ViewerContext): Promise<OpenedSession> {
    this.contexts.push(context);
    return this.redeem(token);
  }

  status(sessionId: string, proof: string): Promise<SessionStatus> {
    return this.#prove(sessionId, proof).then(() => this.stand());
  }

  async end(sessionId: string, proof: string, context: ViewerContext): Promise<void> {
    this.contexts.push(context);
    await this.#prove(sessionId, proof);
    this.ended.push(sessionId);
  }

  async openChannel(sessionId: string, proof: string, context: ViewerContext): Promise<ViewerChannel> {
    this.contexts.push(context);
    await this.#prove(sessionId, proof);
    await this.open();
    const channel = new FakeChannel();
    this.channels.push(channel);
    return channel as unknown as ViewerChannel;
  }

  #prove(sessionId: string, proof: string): Promise<void> {
    if (sessionId === SESSION_ID && proof === PROOF) return Promise.resolve();
    return Promise.reject(new ServiceError("SESSION_NOT_FOUND", `no session ${sessionId} here`));
  }
}

/** Lets in whoever brings the token "good". */
export class FakeEntrance implements TokenEntrance {
  readonly entered: PresentedUrl[] = [];
  readonly contexts: ViewerContext[] = [];

  openChannel(url: PresentedUrl, context: ViewerContext): Promise<ViewerChannel> {
    this.entered.push(url);
    this.contexts.push(context);
    if (url.token !== "good") return Promise.reject(new ServiceError("TOKEN_INVALID", "there is no such token"));
    return Promise.resolve(new FakeChannel() as unknown as ViewerChannel);
  }
}

export const PAGE = {
  "index.html": "<!doctype html><title>console</title>",
  "page.js": `export const page = ${JSON.stringify("x".repeat(2_000))};\n`,
  "page.css": "body{}\n",
  "page.d.ts": "export {};\n",
  "icons/logo.svg": "<svg/>",
};

/** A built page, or other files, in a folder of its own. */
export class PageFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "spicegate-page-"));

  constructor(files: Readonly<Record<string, string>> = PAGE) {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.path, name)), { recursive: true });
      writeFileSync(join(this.path, name), text);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** A proxy on loopback before fake use cases. Accepted viewers are kept until the end. */
export class ProxyUnderTest {
  readonly viewers = new FakeViewers();
  readonly log = new FakeLog();
  readonly registry = new Registry();
  readonly readiness = new Readiness(["database"]);
  /** What was refused before any use case: why, and of which session. */
  readonly refused: (readonly [reason: string, sessionId: string | undefined])[] = [];
  readonly accepted: AcceptedViewer[] = [];
  readonly folder = new PageFolder();
  readonly server: HttpServer;

  constructor(options: Partial<ProxyServerOptions> = {}) {
    this.server = createProxyServer({
      listen: { host: "127.0.0.1", port: 0 },
      redeeming: this.viewers,
      sessions: this.viewers,
      redemptions: NO_CALL_LIMITS.redemptions,
      refusals: { note: (error, { sessionId }) => this.refused.push([reasonOf(error), sessionId]) },
      runViewer: (viewer) => {
        this.accepted.push(viewer);
        viewer.webSocket.on("error", () => undefined);
        return Promise.resolve();
      },
      webSockets: { maxPayload: MAX_VIEWER_MESSAGE_BYTES, perMessageDeflate: false },
      readiness: this.readiness,
      log: this.log.log,
      metrics: createControllerMetrics(this.registry),
      allowedOrigins: [],
      frameAncestors: [],
      trustedProxies: [],
      pageFolder: this.folder.path,
      ...options,
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${this.server.port}`;
  }

  async start(): Promise<this> {
    await this.server.start();
    return this;
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.folder[Symbol.dispose]();
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.origin + path, { redirect: "manual", ...init });
  }

  redeem(token: string, headers: Record<string, string> = {}): Promise<Response> {
    const body = JSON.stringify({ token });
    return this.fetch("/api/sessions", {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers },
    });
  }

  connect(): Socket {
    const socket = connect(this.server.port, "127.0.0.1");
    socket.on("error", () => undefined);
    return socket;
  }

  /** Sends bytes as they are and gives everything that comes until the proxy closes. */
  async exchange(bytes: string | Buffer): Promise<string> {
    const socket = this.connect();
    socket.write(bytes);
    return within("the proxy to close", received(socket));
  }

  /** The upgrade of a viewer, as bytes. Undefined headers are left out. */
  upgrade(changes: Readonly<Record<string, string | undefined>> = {}, path = `/s/${SESSION_ID}/channel`): string {
    const headers: Record<string, string | undefined> = {
      host: `127.0.0.1:${this.server.port}`,
      connection: "Upgrade",
      upgrade: "websocket",
      origin: this.origin,
      cookie: COOKIE,
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-protocol": "binary",
      ...changes,
    };
    const lines = Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}: ${value}`],
    );
    return `GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
  }

  /** The first line and the reason that an upgrade is answered with. */
  async upgradeAnswer(changes: Record<string, string | undefined> = {}, path?: string): Promise<string> {
    const socket = this.connect();
    socket.write(this.upgrade(changes, path));
    const head = await within("an answer", firstBytes(socket));
    socket.destroy();
    return `${head.split("\r\n", 1)[0]?.slice(9, 12) ?? ""} ${/"reason":"(\w+)"/.exec(head)?.[1] ?? ""}`.trim();
  }
}

/** Everything until the other side closes. */
export function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
    socket.once("close", () => resolve(text));
  });
}

/** What comes first. */
export function firstBytes(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once("data", (data: Buffer) => resolve(data.toString("latin1")));
    socket.once("close", () => resolve(""));
  });
}
