// SPDX-License-Identifier: Apache-2.0
import { randomInt } from "node:crypto";
import type { Server, ServerOptions } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import type { SecureContextOptions, SecureVersion } from "node:tls";
import { MAX_TLS_HANDSHAKES, TLS_HANDSHAKE_MS } from "../lib/limits.js";
import type { TlsFiles } from "../lib/tls-files.js";

/** How a server encrypts. */
export interface HttpTls {
  /** Started before the server. */
  readonly files: TlsFiles;
  readonly minVersion: Extract<SecureVersion, "TLSv1.2" | "TLSv1.3">;
  /** In OpenSSL's words; undefined: what Node.js takes. */
  readonly ciphers: string | undefined;
  /** How long a handshake may take, if not as usual; milliseconds. */
  readonly handshakeMs?: number;
}

/**
 * Makes an HTTP/1.1 server that speaks TLS and nothing else. From the moment that its files change, new connections get
 * the new certificate; those that stand go on.
 */
export function createTlsServer(options: ServerOptions, tls: HttpTls): Server {
  const server = createServer({
    ...options,
    ...contextOf(tls),
    handshakeTimeout: tls.handshakeMs ?? TLS_HANDSHAKE_MS,
    // A client that speaks HTTP/2 alone is told so, instead of being misunderstood.
    ALPNProtocols: ["http/1.1"],
  });
  boundHandshakes(server);
  server.once(
    "close",
    tls.files.onChange(() => server.setSecureContext(contextOf(tls))),
  );
  return server;
}

function contextOf({ files, minVersion, ciphers }: HttpTls): SecureContextOptions {
  const { cert, key } = files.identity;
  return { cert, key, minVersion, ciphers };
}

/**
 * Handshakes cost far more than connections: only so many may be under way. For one more any other is cut: whoever holds
 * them all without finishing loses one for each viewer that comes, whose own is over long before it is its turn.
 */
function boundHandshakes(server: Server): void {
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
