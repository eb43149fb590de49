// SPDX-License-Identifier: Apache-2.0
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

/** Handshakes cost far more than connections: what comes while too many are under way is cut. */
function boundHandshakes(server: Server): void {
  let open = 0;
  let secure = 0;
  server.prependListener("connection", (socket: Socket) => {
    open += 1;
    socket.once("close", () => (open -= 1));
    if (open - secure > MAX_TLS_HANDSHAKES) socket.destroy();
  });
  server.on("secureConnection", (socket: Socket) => {
    secure += 1;
    socket.once("close", () => (secure -= 1));
  });
}
