// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { connect } from "node:tls";
import { waitAtMost } from "../src/lib/deadline.js";
import { fingerprintOf } from "../src/lib/join-token.js";
import { MAX_CHAIN_LENGTH, TLS_HANDSHAKE_MS } from "../src/lib/limits.js";
import type { Address } from "../src/lib/listen-address.js";
import { formatAddress } from "../src/lib/listen-address.js";
import { describeDialFailure } from "./mutual-tls.js";

/**
 * The certificate (PEM) with this fingerprint among those that somebody shows. It is all that is read, nothing is said,
 * and nothing is believed yet: whoever shows it need not be who it names. Throws an Error for people where it is missing.
 */
export async function findAuthority(address: Address, fingerprint: string, signal: AbortSignal): Promise<string> {
  const chain = await readChain(address, signal);
  const found = chain.find(({ raw }) => fingerprintOf(raw) === fingerprint);
  if (found) return found.toString();
  throw new Error(
    `${formatAddress(address)} does not show the authority that the join token names: ` +
      "either this is not the service that made the token, or its certificate file lacks the authority's certificate",
  );
}

async function readChain({ host, port }: Address, signal: AbortSignal): Promise<readonly X509Certificate[]> {
  const expired = (): Error => new Error(`no TLS handshake within ${TLS_HANDSHAKE_MS} ms`);
  const servername = isIP(host) === 0 ? { servername: host } : {};
  const socket = connect({ host, port, ...servername, ALPNProtocols: ["h2"], rejectUnauthorized: false });
  try {
    await waitAtMost({ ms: TLS_HANDSHAKE_MS, expired, signal }, () => connected(socket));
    return chainOf(socket.getPeerX509Certificate());
  } finally {
    socket.destroy();
  }
}

function connected(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.on("error", (error: Error) => reject(new Error(describeDialFailure(error, undefined), { cause: error })));
  });
}

function chainOf(first: X509Certificate | undefined): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = first; next && chain.length < MAX_CHAIN_LENGTH; next = next.issuerCertificate) chain.push(next);
  return chain;
}
