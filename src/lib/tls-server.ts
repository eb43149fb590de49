// SPDX-License-Identifier: Apache-2.0
import { constants, randomInt } from "node:crypto";
import type { Server as HttpsServer, ServerOptions } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import type { SecureContextOptions, SecureVersion, Server as TlsServer, TlsOptions, TLSSocket } from "node:tls";
import { createServer } from "node:tls";
import { systemClock } from "./clock.js";
import { MAX_TLS_HANDSHAKES, TLS_FAILURE_LINES_PER_SECOND, TLS_HANDSHAKE_MS } from "./limits.js";
import type { Log } from "./log.js";
import { PerSecond } from "./per-second.js";
import type { TlsFiles } from "./tls-files.js";
import { explainTlsFailure } from "./tls-failure.js";

/** How a listener encrypts. */
export interface ServerTls {
  /** Started before the server. Where they name authorities, only clients with a certificate of theirs are let in. */
  readonly files: TlsFiles;
  readonly log: Log;
  /** TLS 1.2 unless set. */
  readonly minVersion?: Extract<SecureVersion, "TLSv1.2" | "TLSv1.3">;
  /** In OpenSSL's words; undefined: what Node.js takes. */
  readonly ciphers?: string | undefined;
  /** How long a handshake may take, if not as usual; milliseconds. */
  readonly handshakeMs?: number;
}

/**
 * Makes an HTTP/1.1 server that speaks TLS and nothing else. From the moment that its files change, new connections get
 * the new certificate; those that stand go on.
 */
export function createTlsHttpServer(options: ServerOptions, tls: ServerTls): HttpsServer {
  // A client that speaks HTTP/2 alone is told so, instead of being misunderstood.
  return guard(createHttpsServer({ ...options, ...optionsOf(tls, "http/1.1") }), tls);
}

/** The same for another protocol, by its name in ALPN, which whoever listens to `secureConnection` speaks. */
export function createTlsListener(protocol: string, tls: ServerTls): TlsServer {
  return guard(createServer(optionsOf(tls, protocol)), tls);
}

function optionsOf(tls: ServerTls, protocol: string): TlsOptions {
  return {
    ...contextOf(tls),
    handshakeTimeout: tls.handshakeMs ?? TLS_HANDSHAKE_MS,
    ALPNProtocols: [protocol],
    requestCert: tls.files.identity.ca !== undefined,
    rejectUnauthorized: true,
  };
}

function contextOf({ files, minVersion = "TLSv1.2", ciphers }: ServerTls): SecureContextOptions {
  const { cert, key, ca } = files.identity;
  const common = { cert, key, minVersion, ciphers };
  // A resumed session would be let in by what was true of its certificate when it began.
  return ca === undefined ? common : { ...common, ca, secureOptions: constants.SSL_OP_NO_TICKET };
}

function guard<S extends TlsServer>(server: S, tls: ServerTls): S {
  boundHandshakes(server);
  tellFailures(server, tls);
  server.once(
    "close",
    tls.files.onChange(() => server.setSecureContext(contextOf(tls))),
  );
  return server;
}

/**
 * Handshakes cost far more than connections: only so many may be under way. For one more any other is cut: whoever holds
 * them all without finishing loses one for each viewer that comes, whose own is over long before it is its turn.
 */
function boundHandshakes(server: TlsServer): void {
  const underWay = new Map<string, Socket>();
  server.prependListener("connection", (socket: Socket) => {
    if (underWay.size >= MAX_TLS_HANDSHAKES) cutOne(underWay);
    const peer = peerOf(socket);
    underWay.set(peer, socket);
    socket.once("close", () => {
      if (underWay.get(peer) === socket) underWay.delete(peer);
    });
  });
  server.on("secureConnection", (socket: Socket) => underWay.delete(peerOf(socket)));
}

function cutOne(underWay: Map<string, Socket>): void {
  const [peer, socket] = [...underWay][randomInt(underWay.size)] ?? [];
  if (peer === undefined) return;
  underWay.delete(peer);
  socket?.destroy();
}

/** By which the connection and its TLS, which are two objects, know each other. */
function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Closes them too. Of browsers and their like anything may come; whoever needs a certificate here was set up by somebody. */
function tellFailures(server: TlsServer, { files, log }: ServerTls): void {
  const { name: listener, identity } = files;
  const level = identity.ca === undefined ? "debug" : "warn";
  const lines = new PerSecond(TLS_FAILURE_LINES_PER_SECOND, systemClock);
  const parties = { peer: "the client", authorities: `${listener}.ca_file`, cert: "agent.cert" };
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    // Node leaves one open whose time was over.
    socket.destroy();
    const judgement: unknown = socket.authorizationError;
    const detail = explainTlsFailure(judgement ?? error, parties);
    if (detail === undefined || !lines.allows()) return;
    log[level]({ listener, client: addressOf(socket), detail }, "a connection was not let in");
  });
}

/** Where Node has closed the socket already, only the connection beneath remembers. */
function addressOf(socket: TLSSocket & { readonly _parent?: Socket }): string | undefined {
  return socket.remoteAddress ?? socket._parent?.remoteAddress;
}
