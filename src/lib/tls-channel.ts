// SPDX-License-Identifier: Apache-2.0
import type { ChannelCredentials, ChannelOptions } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { isIP } from "node:net";
import type { PeerCertificate } from "node:tls";
import { checkServerIdentity, createSecureContext } from "node:tls";

/** What a gRPC client over TLS is made with. */
export interface TlsChannel {
  readonly credentials: ChannelCredentials;
  readonly options: ChannelOptions;
}

/** RFC 2606: nobody is called that. */
const NO_NAME = "controller.invalid";

/**
 * For a client of the server at a host, a name or an address, which its certificate must name. `ca` holds the authorities
 * (PEM) that may have signed it; undefined = the public ones. Throws what OpenSSL says of authorities that are no good.
 */
export function tlsChannel(host: string, ca: string | Buffer | undefined): TlsChannel {
  const context = createSecureContext({ ...(ca === undefined ? {} : { ca }), minVersion: "TLSv1.2" });
  if (isIP(host) === 0) return { credentials: credentials.createFromSecureContext(context), options: {} };
  // grpc-js would send an address as the server's name, which TLS has no place for: it sends another one, and the
  // certificate must name the address all the same.
  const verify = { checkServerIdentity: (_name: string, peer: PeerCertificate) => checkServerIdentity(host, peer) };
  const options = { "grpc.ssl_target_name_override": NO_NAME };
  return { credentials: credentials.createFromSecureContext(context, verify), options };
}
