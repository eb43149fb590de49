// SPDX-License-Identifier: Apache-2.0
// Where agents bring the displays that they opened; agent.proto (OpenDisplay) is the specification. Whoever wants a
// display expects a secret here first; the connection that names it is theirs. Of displays and agents it knows nothing.
import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, Server, ServerOptions } from "node:http";
import { createServer, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { waitAtMost } from "../lib/deadline.js";
import {
  MAX_HTTP_CONNECTIONS,
  MAX_TUNNEL_HEADER_BYTES,
  MAX_WAITING_TUNNELS,
  TUNNEL_HANDSHAKE_MS,
  TUNNEL_KEEPALIVE_MS,
} from "../lib/limits.js";
import type { Part } from "../lib/lifecycle.js";
import { closeNow, connectionsOf, listen, portOf } from "../lib/listen.js";
import type { Address } from "../lib/listen-address.js";
import { formatAddress } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { ServerTls } from "../lib/tls-server.js";
import { createTlsHttpServer } from "../lib/tls-server.js";
import { peerCertificateOf } from "../rpc/peer-certificate.js";

const PROTOCOL = "spicegate-tunnel";
const SECRET_BYTES = 32;

const HTTP: ServerOptions = {
  headersTimeout: TUNNEL_HANDSHAKE_MS,
  requestTimeout: TUNNEL_HANDSHAKE_MS,
  // Node looks for requests that are late only now and then, by default twice a minute.
  connectionsCheckingInterval: TUNNEL_HANDSHAKE_MS / 5,
  maxHeaderSize: MAX_TUNNEL_HEADER_BYTES,
  keepAlive: true,
  keepAliveInitialDelay: TUNNEL_KEEPALIVE_MS,
  noDelay: true,
};

/** What the listener needs. */
export interface TunnelListenerOptions {
  readonly listen: Address;
  /** Where agents reach it, if not there; its port is the same. */
  readonly advertisedHost?: string | undefined;
  /** Undefined: it speaks in the clear, and whoever knows the secret is believed. */
  readonly tls?: ServerTls | undefined;
  readonly log: Log;
}

/** Whose tunnel is expected, and how long. */
export interface ExpectOptions {
  /** With TLS it must come with a certificate of this host. */
  readonly host: string;
  readonly ms: number;
  /** Stops expecting it: from then on its secret is refused. */
  readonly signal: AbortSignal;
}

/** A tunnel that may come. */
export interface ExpectedTunnel {
  /** host:port to dial. */
  readonly address: string;
  /** 256 random bits, base64url; good for one tunnel. */
  readonly secret: string;
  /**
   * The tunnel, upgraded and with an error listener; what it brings is held back until somebody reads. Fails with
   * AGENT_TIMEOUT, DRAINING or the signal's error. It may fail before anybody listens.
   */
  readonly arrived: Promise<Socket>;
}

interface Waiting {
  readonly host: string;
  readonly resolve: (tunnel: Socket) => void;
  readonly reject: (error: Error) => void;
}

/** The HTTP/1.1 server that takes tunnels and nothing else. */
export class TunnelListener implements Part {
  readonly #options: TunnelListenerOptions;
  #server: Server | undefined;
  #connections: ReadonlySet<Socket> = new Set();
  /** By the hash of the secret: looking up what a stranger sent says nothing about a secret by its time. */
  readonly #waiting = new Map<string, Waiting>();
  /** With their hosts. */
  readonly #tunnels = new Map<Socket, string>();
  #state: "new" | "listening" | "stopped" = "new";

  constructor(options: TunnelListenerOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { listen: at, tls, log } = this.#options;
    const server = tls ? createTlsHttpServer(HTTP, tls) : createServer(HTTP);
    server.maxConnections = MAX_HTTP_CONNECTIONS + MAX_WAITING_TUNNELS;
    server.on("request", (request, response) => {
      response.writeHead(unfitStatus(request), { connection: "close" }).end();
    });
    server.on("upgrade", (request: IncomingMessage, _socket, head: Buffer) => this.#take(request, head));
    this.#server = server;
    this.#connections = connectionsOf(server);
    await listen(server, { name: "tunnel listener", at, log });
    this.#state = "listening";
  }

  /** host:port where agents reach it, with the real port where the setting was 0. */
  get address(): string {
    const { listen: at, advertisedHost: host = at.host } = this.#options;
    return formatAddress({ host, port: portOf(this.#server) });
  }

  /** Tunnels that are open. */
  get openTunnels(): number {
    return this.#tunnels.size;
  }

  /** Tunnels that are expected. */
  get waitingTunnels(): number {
    return this.#waiting.size;
  }

  /** Lets one tunnel in. Throws LIMITED where too many are expected already, and DRAINING where nothing listens. */
  expect({ host, ms, signal }: ExpectOptions): ExpectedTunnel {
    if (this.#state !== "listening") throw draining();
    if (this.#waiting.size >= MAX_WAITING_TUNNELS)
      throw new ServiceError("LIMITED", "too many displays are being opened");
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    const key = hashOf(secret);
    const expired = (): ServiceError => new ServiceError("AGENT_TIMEOUT", `no display was brought within ${ms} ms`);
    const came = new Promise<Socket>((resolve, reject) => this.#waiting.set(key, { host, resolve, reject }));
    const arrived = waitAtMost({ ms, expired, signal }, () => came).finally(() => this.#waiting.delete(key));
    arrived.catch(() => came.then((tunnel) => tunnel.destroy()).catch(() => undefined));
    return { address: this.address, secret, arrived };
  }

  /** Cuts the tunnels of a host, and gives up those that it is to bring. */
  cut(host: string): void {
    const error = new ServiceError("AGENT_UNAVAILABLE", `host ${host} was revoked`, { metadata: { host } });
    for (const waiting of this.#waiting.values()) if (waiting.host === host) waiting.reject(error);
    for (const [tunnel, of] of this.#tunnels) if (of === host) tunnel.destroy();
  }

  /** Takes no more, gives up what is expected and cuts what is open. A second call does nothing. */
  async stop(): Promise<void> {
    if (this.#state !== "listening") return;
    this.#state = "stopped";
    for (const { reject } of this.#waiting.values()) reject(draining());
    if (this.#server) await closeNow(this.#server, this.#connections);
  }

  #take(request: IncomingMessage, head: Buffer): void {
    const { socket } = request;
    // From here on the server does not look after the connection: without this a reset would end the process.
    socket.on("error", () => socket.destroy());
    if (!isTunnel(request)) return refuse(socket, unfitStatus(request));
    const waiting = this.#claim(request);
    if (!waiting) return refuse(socket, 403);
    this.#tunnels.set(socket, waiting.host);
    socket.once("close", () => this.#tunnels.delete(socket));
    // A server's connections may stay half open; here the end of one side is the end of both.
    socket.allowHalfOpen = false;
    if (head.length > 0) socket.unshift(head);
    socket.write(`HTTP/1.1 101 ${STATUS_CODES[101]}\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n\r\n`);
    waiting.resolve(socket);
  }

  /** Whoever expects this tunnel; they expect it no longer. One that comes from another host changes nothing for them. */
  #claim({ headers, socket }: IncomingMessage): Waiting | undefined {
    const { log } = this.#options;
    const secret = headers["x-spicegate-tunnel-secret"];
    const key = typeof secret === "string" ? hashOf(secret) : "";
    const waiting = this.#waiting.get(key);
    if (!waiting) {
      log.debug({ from: socket.remoteAddress }, "a tunnel came that nobody expects");
      return undefined;
    }
    if (!this.#isOf(waiting.host, socket)) {
      const { hosts } = peerCertificateOf(socket) ?? {};
      log.warn(
        { from: socket.remoteAddress, host: waiting.host, hosts },
        "a tunnel came with another host's certificate",
      );
      return undefined;
    }
    this.#waiting.delete(key);
    return waiting;
  }

  #isOf(host: string, socket: Socket): boolean {
    return this.#options.tls === undefined || peerCertificateOf(socket)?.hosts.includes(host) === true;
  }
}

function isTunnel({ method, url, headers }: IncomingMessage): boolean {
  return method === "GET" && url === "/tunnel" && headers.upgrade?.toLowerCase() === PROTOCOL;
}

function unfitStatus({ method }: IncomingMessage): number {
  return method === "GET" ? 404 : 405;
}

/** Answers and closes: `end` alone would leave the connection open as long as the other side likes. */
function refuse(socket: Socket, status: number): void {
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  socket.destroySoon();
}

function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}

function draining(): ServiceError {
  return new ServiceError("DRAINING", "this controller is stopping");
}
