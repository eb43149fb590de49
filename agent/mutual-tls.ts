// SPDX-License-Identifier: Apache-2.0
import type { CallCredentials } from "@grpc/grpc-js";
import { ChannelCredentials, credentials } from "@grpc/grpc-js";
import type { Socket } from "node:net";
import { isIP } from "node:net";
import type { ConnectionOptions, SecureContext, TLSSocket } from "node:tls";
import { connect } from "node:tls";
import type { Clock } from "../src/lib/clock.js";
import { systemClock } from "../src/lib/clock.js";
import { waitAtMost } from "../src/lib/deadline.js";
import { FIRST_WORD_MS, TLS_HANDSHAKE_MS } from "../src/lib/limits.js";
import { messageOf } from "../src/lib/message-of.js";
import { explainTlsFailure } from "../src/lib/tls-failure.js";
import type { TlsIdentity } from "../src/lib/tls-files.js";

/** What a connection to a controller is encrypted with. */
export interface MutualTlsOptions {
  /** The host that is dialled, which the controller's certificate must name. */
  readonly host: string;
  /** What is shown to the controller; undefined where it asks for nothing. */
  readonly identity?: TlsIdentity | undefined;
  readonly secureContext: SecureContext;
  /** The machine's, unless a test has another. */
  readonly clock?: Clock;
}

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** How a connection ends that the other side has closed. */
const GONE = new Set(["ECONNRESET", "EPIPE"]);
const API = { peer: "the controller", authorities: "ca.pem in agent.identity_folder", cert: "api.cert there" };
const CONTROLLER = { peer: "the controller", authorities: "agent.ca_file", cert: "agents.cert there" };

/**
 * How gRPC speaks TLS with a controller. grpc-js could do it by itself, but would send an IP address as a server name,
 * wait for ever in a handshake, and call a controller that turns the agent away a lost connection.
 */
export class MutualTls extends ChannelCredentials {
  readonly #options: MutualTlsOptions;

  constructor(options: MutualTlsOptions) {
    super();
    this.#options = options;
  }

  /** For grpc-js. */
  override _isSecure(): boolean {
    return true;
  }

  /** For grpc-js. */
  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  /** For grpc-js. */
  override _createSecureConnector(_target: unknown, _options: unknown, given?: CallCredentials): SecureConnector {
    const callCredentials = given ?? credentials.createEmpty();
    return {
      connect: async (socket) => ({ socket: await this.#connect(socket), secure: true }),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    };
  }

  /** Over a connection that stands; it is closed where this fails. */
  async #connect(socket: Socket): Promise<TLSSocket> {
    const { identity, clock = systemClock } = this.#options;
    const secure = connect({ ...tlsOptionsTo(this.#options), socket, ALPNProtocols: ["h2"] });
    const expired = (): Error => new Error(`the controller ends no TLS handshake within ${TLS_HANDSHAKE_MS} ms`);
    try {
      await waitAtMost({ ms: TLS_HANDSHAKE_MS, expired, clock }, () => admitted(secure, identity, clock));
      return secure;
    } catch (error) {
      secure.destroy();
      throw error;
    }
  }
}

/**
 * Waits for the handshake, and then for what a controller says first: only that, or its end, tells whether it has taken
 * our certificate. One that is slow to speak has taken it.
 */
async function admitted(secure: TLSSocket, identity: TlsIdentity | undefined, clock: Clock): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error?: Error): void => reject(new Error(describeDialFailure(error, identity), { cause: error }));
    secure.on("error", failed);
    secure.once("close", () => failed());
    secure.once("secureConnect", () => {
      clock.after(FIRST_WORD_MS, resolve);
      secure.on("readable", () => {
        if (secure.readableLength > 0) resolve();
      });
    });
  });
  secure.removeAllListeners("readable");
}

/** What `connect` of node:tls needs for a controller. An IP address is checked like a name, but never sent as one. */
export function tlsOptionsTo({
  host,
  secureContext,
}: Pick<MutualTlsOptions, "host" | "secureContext">): ConnectionOptions {
  // Said aloud: else an environment variable could switch the check off.
  return { host, servername: isIP(host) === 0 ? host : "", secureContext, rejectUnauthorized: true };
}

/** Why a controller was not reached over TLS, and what to do. */
export function describeDialFailure(error: Error | undefined, identity: TlsIdentity | undefined): string {
  const explained = explainTlsFailure(error, identity ? CONTROLLER : API);
  if (explained !== undefined) return explained;
  // Node closes the connection after the handshake and says nothing where it does not take a certificate.
  if (error !== undefined && !GONE.has((error as NodeJS.ErrnoException).code ?? "")) return messageOf(error);
  if (!identity) return "the controller closes the connection: its log says why";
  const { expiresAt } = identity;
  const expired = expiresAt.getTime() <= Date.now();
  const why = expired ? `it expired at ${expiresAt.toISOString()}: renew it` : "its log says why";
  return `the controller closes the connection, perhaps since it does not take the certificate in agent.cert: ${why}`;
}
