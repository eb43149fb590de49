// SPDX-License-Identifier: Apache-2.0
// A viewer without a browser: it opens a console URL as the page does and joins channels with bare WebSockets.
import { WebSocket } from "ws";
import { withDeadline } from "../../src/lib/deadline.js";
import { rejectionOf } from "./rejection.js";
import type { SpiceWire } from "./spice-wire.js";
import { join, readConnectionId, SPICE_CHANNEL } from "./spice-wire.js";

const PATIENCE_MS = 10_000;

/** An HTTP answer of the proxy. */
export interface ProxyAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How a WebSocket was closed. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** A refusal of a WebSocket before it was one. */
export class UpgradeRefused extends Error {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    super(`refused with ${status}: ${JSON.stringify(body)}`);
    this.status = status;
    this.body = body;
  }
}

/** The token of a console URL. */
export function tokenOf(url: string): string {
  const token = /[#?]token=([\w-]{43})$/.exec(url)?.[1];
  if (token === undefined) throw new Error("not a console URL");
  return token;
}

/** How the proxy refuses this WebSocket. Throws where it does not. */
export async function refusalOf(connecting: Promise<ViewerSocket>): Promise<UpgradeRefused> {
  const error = await rejectionOf(connecting);
  if (error instanceof UpgradeRefused) return error;
  throw error;
}

/** Posts a token as the page does. */
export async function postToken(
  proxy: string,
  token: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<ProxyAnswer> {
  const response = await fetch(`http://${proxy}/api/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ token }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  return answerOf(response);
}

/** An opened console URL. */
export class Viewer {
  readonly sessionId: string;
  readonly cookie: string;
  readonly #proxy: string;

  constructor(proxy: string, sessionId: string, cookie: string) {
    this.#proxy = proxy;
    this.sessionId = sessionId;
    this.cookie = cookie;
  }

  /** Opens a console by its token. Throws where the proxy refuses it. */
  static async open(proxy: string, token: string): Promise<Viewer> {
    const answer = await postToken(proxy, token);
    if (answer.status !== 201) throw new Error(`refused with ${answer.status}: ${JSON.stringify(answer.body)}`);
    const [cookie = ""] = (answer.headers.get("set-cookie") ?? "").split(";");
    return new Viewer(proxy, String(answer.body["session_id"]), cookie);
  }

  /** The proof that the cookie carries; a secret. */
  get proof(): string {
    return this.cookie.split("=")[1] ?? "";
  }

  /** What the page asks before it connects. */
  async status(): Promise<Readonly<Record<string, unknown>>> {
    return (await this.request("GET", "status")).body;
  }

  /** Asks for something below the session's path. */
  async request(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<ProxyAnswer> {
    const url = `http://${this.#proxy}/s/${this.sessionId}/${path}`;
    const signal = AbortSignal.timeout(PATIENCE_MS);
    return answerOf(await fetch(url, { method, headers: { cookie: this.cookie, ...headers }, signal }));
  }

  /** Opens a WebSocket for one channel and says nothing yet. Throws UpgradeRefused. */
  connect(headers: Readonly<Record<string, string>> = {}): Promise<ViewerSocket> {
    const url = `ws://${this.#proxy}/s/${this.sessionId}/channel`;
    return ViewerSocket.open(url, { cookie: this.cookie, ...headers });
  }

  /** Joins main, and says which connection id the other channels need. */
  async joinMain(): Promise<{ readonly main: ViewerSocket; readonly connectionId: number }> {
    const main = await this.connect();
    await join(main, { type: SPICE_CHANNEL.main });
    return { main, connectionId: await readConnectionId(main) };
  }

  /** Joins one more channel. */
  async join(type: number, connectionId: number): Promise<ViewerSocket> {
    const socket = await this.connect();
    await join(socket, { type, connectionId });
    return socket;
  }
}

/** One channel's WebSocket, read bytewise. */
export class ViewerSocket implements SpiceWire {
  readonly webSocket: WebSocket;
  /** How it ended. */
  readonly closed: Promise<Closed>;
  #received = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  #end: Closed | undefined;

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    webSocket.on("error", () => undefined);
    webSocket.on("message", (data: Buffer) => {
      this.#received = Buffer.concat([this.#received, data]);
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      webSocket.on("close", (code, reason) => {
        this.#end = { code, reason: reason.toString() };
        resolve(this.#end);
        this.#wake();
      });
    });
  }

  /** Throws UpgradeRefused where the server answers anything but 101. */
  static open(url: string, headers: Readonly<Record<string, string>>): Promise<ViewerSocket> {
    const webSocket = new WebSocket(url, ["binary"], {
      headers,
      handshakeTimeout: PATIENCE_MS,
      perMessageDeflate: false,
    });
    const socket = new ViewerSocket(webSocket);
    return new Promise((resolve, reject) => {
      webSocket.once("open", () => resolve(socket));
      webSocket.once("error", reject);
      webSocket.once("unexpected-response", (_request, response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          reject(new UpgradeRefused(response.statusCode ?? 0, parse(Buffer.concat(chunks).toString())));
          webSocket.terminate();
        });
      });
    });
  }

  send(bytes: Uint8Array): void {
    this.webSocket.send(bytes);
  }

  async read(count: number): Promise<Buffer> {
    const expired = (): Error => new Error(`only ${this.#received.length} of ${count} bytes came`);
    await withDeadline({ ms: PATIENCE_MS, expired }, async () => {
      while (this.#received.length < count) {
        if (this.#end) throw new Error(`closed with ${this.#end.code} ${this.#end.reason}`);
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    });
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  /** Waits for the end that is to come. */
  ends(ms = PATIENCE_MS): Promise<Closed> {
    return withDeadline({ ms, expired: () => new Error("the WebSocket stays open") }, () => this.closed);
  }

  /** Leaves as a closed tab does. */
  async close(): Promise<void> {
    this.webSocket.close();
    await this.ends();
  }
}

async function answerOf(response: Response): Promise<ProxyAnswer> {
  return { status: response.status, headers: response.headers, body: parse(await response.text()) };
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
