// SPDX-License-Identifier: Apache-2.0
// By what controllers know this host, and the host its controllers: the one place that knows whether connections to them
// are encrypted. Control streams and tunnels ask here for every connection they make.
import type { ChannelCredentials } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import type { SecureContext } from "node:tls";
import { createSecureContext } from "node:tls";
import type { Address } from "../src/lib/listen-address.js";
import { isLoopback } from "../src/lib/listen-address.js";
import type { TlsFiles, TlsIdentity } from "../src/lib/tls-files.js";
import { MutualTls } from "./mutual-tls.js";

/** How controllers are reached. */
export interface ControllerCredentialsOptions {
  /** Certificate, key and the controllers' authorities, started before anything is dialled; undefined: in the clear. */
  readonly files?: TlsFiles | undefined;
  /** Whether what is in the clear may leave this machine. */
  readonly insecure?: boolean;
}

/** The credentials in effect. Connections that stand keep those that they were made with. */
export class ControllerCredentials {
  readonly #options: ControllerCredentialsOptions;
  #made: { readonly identity: TlsIdentity; readonly context: SecureContext } | undefined;

  constructor(options: ControllerCredentialsOptions = {}) {
    this.#options = options;
  }

  /** Whether an address may be dialled, whoever has named it. */
  allows({ host }: Address): boolean {
    const { files, insecure = false } = this.#options;
    return files !== undefined || insecure || isLoopback(host);
  }

  /** What this agent shows; another object after each change. Undefined in the clear. */
  get identity(): TlsIdentity | undefined {
    return this.#options.files?.identity;
  }

  /** What a TLS connection is made with; undefined in the clear. */
  get secureContext(): SecureContext | undefined {
    const { identity } = this;
    if (!identity) return undefined;
    if (this.#made?.identity !== identity) {
      const { cert, key, ca } = identity;
      this.#made = { identity, context: createSecureContext({ cert, key, ca, minVersion: "TLSv1.2" }) };
    }
    return this.#made.context;
  }

  /** What a gRPC channel to the host of an address is made with. */
  channelTo({ host }: Address): ChannelCredentials {
    const { identity, secureContext } = this;
    return identity && secureContext ? new MutualTls({ host, identity, secureContext }) : credentials.createInsecure();
  }
}
