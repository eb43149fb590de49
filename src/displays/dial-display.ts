// SPDX-License-Identifier: Apache-2.0
// Dials a display over the network, as Nova's proxies do, and over TLS as SPICE clients do.
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect, isIP } from "node:net";
import type { checkServerIdentity, SecureContext } from "node:tls";
import { connect as connectTls, TLSSocket } from "node:tls";
import { withBigReads } from "../lib/big-reads.js";
import { hasSubject, parseSubject } from "../lib/certificate-subject.js";
import type { Clock } from "../lib/clock.js";
import { waitAtMost } from "../lib/deadline.js";
import { TUNNEL_KEEPALIVE_MS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { connectThrough } from "./connect-through.js";

/** How the certificate of a display is checked. */
export interface DisplayTrust {
  /** Holds the authorities. */
  readonly secureContext: SecureContext;
  /** The certificate's subject; undefined: it must be for the host name that is dialled. */
  readonly subject: string | undefined;
}

/** Where a display is. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Undefined: it speaks in the clear. */
  readonly tls: DisplayTrust | undefined;
  /** What lies behind the port; empty: the display itself. */
  readonly accessPath: string;
}

/** What dialling may take. */
export interface DialOptions {
  readonly ms: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** Opens a connection to a display. Throws TARGET_REFUSED, at the deadline too, or CANCELLED, and leaves nothing open then. */
export async function dialDisplay(target: DialTarget, options: DialOptions): Promise<Socket> {
  const expired = (): ServiceError => refused("the display does not take the connection in time");
  let socket: Socket | undefined;
  try {
    return await waitAtMost({ ...options, expired }, async () => {
      socket = dial(target);
      await connected(socket);
      if (target.accessPath !== "") await through(socket, target.accessPath);
      return socket;
    });
  } catch (error) {
    socket?.destroy();
    throw error;
  }
}

function dial({ host, port, tls }: DialTarget): Socket {
  if (!tls) return withBigReads((onread) => connect({ host, port, onread }));
  const { subject, secureContext } = tls;
  const checkIdentity = subject === undefined ? {} : { checkServerIdentity: subjectCheck(subject) };
  // A name is also told to the display, which an address cannot be.
  const name = isIP(host) === 0 ? { servername: host } : {};
  // Said aloud: else an environment variable could switch the check off.
  return connectTls({ host, port, secureContext, rejectUnauthorized: true, ...name, ...checkIdentity });
}

/** As SPICE clients do: with a subject the host name does not matter. */
function subjectCheck(subject: string): typeof checkServerIdentity {
  const wanted = parseSubject(subject) ?? [];
  return (_host, { raw }) => {
    const certificate = new X509Certificate(raw);
    if (hasSubject(certificate, wanted)) return undefined;
    return new Error(`its subject is ${JSON.stringify(certificate.subject)}, not ${JSON.stringify(subject)}`);
  };
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(socket instanceof TLSSocket ? "secureConnect" : "connect", () => {
      socket.setNoDelay(true);
      // A host that is gone ends no connection.
      socket.setKeepAlive(true, TUNNEL_KEEPALIVE_MS);
      resolve();
    });
    // Stays for good: once the connection stands its end says all there is to know.
    socket.on("error", (cause) => reject(refused(whyRefused(socket), cause)));
  });
}

function whyRefused(socket: Socket): string {
  // Null as long as nothing speaks against the certificate, whatever its type says.
  const mistrusted = socket instanceof TLSSocket && (socket.authorizationError as unknown) != null;
  return mistrusted ? "the display's certificate is not to be trusted" : "the display does not take the connection";
}

async function through(socket: Socket, path: string): Promise<void> {
  try {
    await connectThrough(socket, path);
  } catch (cause) {
    throw refused("what listens on the display's port does not lead to it", cause);
  }
}

function refused(message: string, cause?: unknown): ServiceError {
  return new ServiceError("TARGET_REFUSED", message, { cause });
}
