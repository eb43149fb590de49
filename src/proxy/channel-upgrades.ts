// SPDX-License-Identifier: Apache-2.0
// The WebSockets of channels. Everything is decided before the upgrade, so that a refusal is an HTTP answer; a socket
// that has been accepted belongs to whoever runs it.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ServerOptions, WebSocket } from "ws";
import { WebSocketServer } from "ws";
import type { TokenEntrance, ViewerChannel, ViewerSessions } from "../console/viewer.js";
import { HttpProblem, notFound, problemFrom } from "../http/http-problem.js";
import type { HttpRequest, HttpRequests } from "../http/http-requests.js";
import type { Upgrades } from "../http/http-server.js";
import { sendRaw } from "../http/raw-response.js";
import { MAX_UPGRADES_UNDER_WAY } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { isSessionId } from "../sessions/session-proof.js";
import type { Admission, Attempt } from "./admission.js";
import { withoutHints } from "./admission.js";
import { schemeOfOrigin } from "./origin-rule.js";
import { readToken } from "./presented-token.js";
import { problemBody } from "./viewer-json.js";

/** A viewer's connection that was let in. */
export interface AcceptedViewer {
  readonly webSocket: WebSocket;
  /** The connection under it. */
  readonly socket: Duplex;
  readonly channel: ViewerChannel;
}

/** What upgrades need. */
export interface ChannelUpgradesOptions {
  readonly sessions: ViewerSessions;
  /** Who lets viewers made for Nova's proxy in, at any address that is no session's; undefined where nobody does. */
  readonly entrance?: TokenEntrance | undefined;
  readonly requests: HttpRequests;
  readonly admission: Admission;
  /** Of every refusal. */
  readonly headers: Readonly<Record<string, string>>;
  /** Takes an accepted connection over, in the same tick, and ends it some time. */
  readonly runViewer: (viewer: AcceptedViewer) => Promise<void>;
  /** How `runViewer` wants its WebSockets to be made. */
  readonly webSockets: ServerOptions;
}

/** The sub-protocol that spice-html5 asks for; Chromium insists on hearing it again. */
const PROTOCOL = "binary";
const CHANNEL_PATH = /^\/s\/([^/?#]+)\/channel$/;
const OUTSIDE_SESSIONS = /^\/(?!s\/)/;
const WEBSOCKET_KEY = /^[0-9a-z+/]{22}==$/i;
const TOKEN = /^[\w!#$%&'*+\-.^`|~]+$/;

/** Answers the upgrades of an HTTP server. */
export class ChannelUpgrades implements Upgrades {
  readonly #options: ChannelUpgradesOptions;
  readonly #webSockets: WebSocketServer;
  #underWay = 0;

  constructor(options: ChannelUpgradesOptions) {
    this.#options = options;
    this.#webSockets = new WebSocketServer({
      ...options.webSockets,
      noServer: true,
      handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
    });
    this.#webSockets.on("headers", (lines, request) => {
      const { requests } = options;
      for (const [name, id] of Object.entries(requests.idHeaders(requests.of(request)))) lines.push(`${name}: ${id}`);
    });
    // ws would answer by itself and leave the socket half open.
    this.#webSockets.on("wsClientError", (_error, socket) => socket.destroy());
  }

  /** Answers one upgrade. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Nobody else listens: without this a reset while the session is looked up would end the process.
    socket.on("error", () => socket.destroy());
    const viewer = this.#options.requests.of(request);
    leavesWith(socket, viewer);
    this.#underWay += 1;
    void this.#admit(request, viewer)
      .finally(() => (this.#underWay -= 1))
      .then(
        (channel) => this.#accept({ request, socket, head, viewer, channel }),
        (thrown: unknown) => this.#refuse(socket, viewer, thrown),
      );
  }

  /** Throws what speaks against the channel, or opens it. */
  #admit(request: IncomingMessage, viewer: HttpRequest): Promise<ViewerChannel> {
    const { entrance } = this.#options;
    if (!entrance || !OUTSIDE_SESSIONS.test(request.url ?? "")) return this.#admitByProof(request, viewer);
    return this.#admitByToken(request, viewer, entrance);
  }

  async #admitByProof(request: IncomingMessage, viewer: HttpRequest): Promise<ViewerChannel> {
    const { sessions, admission } = this.#options;
    const sessionId = sessionOf(request.url);
    viewer.route = "/s/{session}/channel";
    const attempt = { viewer, sessionId };
    this.#requireWelcome(request, attempt);
    const proof = admission.requireProof(request.headers.cookie, attempt);
    this.#requireRoom(attempt);
    try {
      return await admission.trying(attempt, () => sessions.openChannel(sessionId, proof, viewer));
    } catch (error) {
      throw withoutHints(error);
    }
  }

  async #admitByToken(request: IncomingMessage, viewer: HttpRequest, entrance: TokenEntrance): Promise<ViewerChannel> {
    viewer.route = "/{path}?token={token}";
    this.#requireWelcome(request, { viewer });
    this.#requireRoom({ viewer });
    const origin = schemeOfOrigin(request.headers.origin);
    const url = { token: readToken(request), origin };
    return this.#options.admission.trying({ viewer }, () => entrance.openChannel(url, viewer));
  }

  #requireWelcome(request: IncomingMessage, attempt: Attempt): void {
    const { admission } = this.#options;
    requireWebSocket(request);
    admission.requireOrigin(request.headers.origin, attempt);
    admission.requireServing(attempt);
  }

  #requireRoom(attempt: Attempt): void {
    if (this.#underWay <= MAX_UPGRADES_UNDER_WAY) return;
    this.#options.admission.refuse(new ServiceError("LIMITED", "too many viewers come at once"), attempt);
  }

  #accept({ request, socket, head, viewer, channel }: Admitted): void {
    const { requests, runViewer } = this.#options;
    let webSocket: WebSocket | undefined;
    // Calls back at once, or not at all where the viewer has left meanwhile.
    this.#webSockets.handleUpgrade(request, socket, head, (accepted) => (webSocket = accepted));
    requests.finished(viewer, webSocket ? 101 : undefined);
    if (!webSocket) return channel.closed("VIEWER_LEFT");
    void runViewer({ webSocket, socket, channel });
  }

  #refuse(socket: Duplex, viewer: HttpRequest, thrown: unknown): void {
    const { requests, headers } = this.#options;
    const problem = problemFrom(thrown);
    viewer.problem = problem;
    requests.finished(viewer, problem.status);
    sendRaw(socket, {
      status: problem.status,
      headers: { ...headers, ...requests.idHeaders(viewer), ...problem.headers },
      body: problemBody(problem, viewer.requestId),
    });
  }
}

/** Apart from the rest, so that a connection keeps nothing of its request for as long as it lives. */
function leavesWith(socket: Duplex, viewer: HttpRequest): void {
  socket.once("close", () => viewer.leave());
}

interface Admitted {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly viewer: HttpRequest;
  readonly channel: ViewerChannel;
}

function sessionOf(url: string | undefined): string {
  const sessionId = CHANNEL_PATH.exec(url ?? "")?.[1];
  if (sessionId === undefined || !isSessionId(sessionId)) throw notFound();
  return sessionId;
}

/** What ws would refuse is refused here, before there is a channel; and one that asks for another sub-protocol is no viewer. */
function requireWebSocket({ method, headers }: IncomingMessage): void {
  const key = headers["sec-websocket-key"];
  const offered = headers["sec-websocket-protocol"]?.split(",").map((name) => name.trim());
  const names = new Set(offered);
  if (method !== "GET" || headers.upgrade?.toLowerCase() !== "websocket") throw malformed("this is a WebSocket");
  if (headers["sec-websocket-version"] !== "13") {
    throw malformed("WebSocket version 13 is spoken here", { "sec-websocket-version": "13" });
  }
  if (key === undefined || !WEBSOCKET_KEY.test(key)) throw malformed("Sec-WebSocket-Key is missing or malformed");
  if (!offered) return;
  if (offered.length !== names.size || !offered.every((name) => TOKEN.test(name)) || !names.has(PROTOCOL)) {
    throw malformed(`Sec-WebSocket-Protocol must offer ${PROTOCOL}`);
  }
}

function malformed(message: string, headers: Readonly<Record<string, string>> = {}): HttpProblem {
  return new HttpProblem(400, "INVALID_ARGUMENT", message, { headers });
}
