// SPDX-License-Identifier: Apache-2.0
// Why two ends did not come to terms over TLS, in words that say what to do.
import { messageOf } from "./message-of.js";

/** Whose certificate was looked at, and by what. */
export interface TlsParties {
  /** The other end, as a sentence begins: "the controller". */
  readonly peer: string;
  /** The setting that names the authorities it was judged by: "agent.ca_file". */
  readonly authorities: string;
  /** The setting by which the other end shows a certificate: "agent.cert". */
  readonly cert: string;
}

const EXPIRED = "CERT_HAS_EXPIRED";
const EARLY = "CERT_NOT_YET_VALID";
const PURPOSE = "INVALID_PURPOSE";
const OTHER_NAME = "ERR_TLS_CERT_ALTNAME_INVALID";
const UNTRUSTED = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
]);
const NO_CERTIFICATE = new Set(["ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"]);
const NO_TLS = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_HTTP_REQUEST",
  "ERR_SSL_HTTPS_PROXY_REQUEST",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
]);
const TOO_OLD = new Set([
  "ERR_SSL_UNSUPPORTED_PROTOCOL",
  "ERR_SSL_VERSION_TOO_LOW",
  "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
]);

/** The words for a failure; undefined for one that says nothing, such as a connection that was just closed. */
export function explainTlsFailure(error: unknown, { peer, authorities, cert }: TlsParties): string | undefined {
  const code = codeOf(error);
  if (code === EXPIRED) return `the certificate of ${peer} has expired: renew it (${cert})`;
  if (code === EARLY) return `the certificate of ${peer} is not valid yet: compare the clocks of both machines`;
  if (code === PURPOSE)
    return `the certificate of ${peer} is not made for that use (extended key usage): issue another`;
  if (UNTRUSTED.has(code)) {
    return `the certificate of ${peer} comes from an authority that ${authorities} does not hold: add that one, or get a certificate of one that it holds (${code})`;
  }
  if (code === OTHER_NAME) {
    return `the certificate of ${peer} is for another name than the one that was dialled: dial one of its names (${namesIn(error)}), or issue it for this one: ${messageOf(error)}`;
  }
  if (NO_CERTIFICATE.has(code)) return `${peer} shows no certificate: set ${cert}`;
  if (NO_TLS.has(code)) return `${peer} speaks no TLS: set ${cert}`;
  if (TOO_OLD.has(code)) return `${peer} speaks nothing newer than TLS 1.1: update it`;
  return undefined;
}

/** What Node calls the failure: a code of OpenSSL's, which a server tells as a text of its own. */
function codeOf(error: unknown): string {
  if (typeof error === "string") return error;
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code ?? "";
}

/** What Node's error has of the certificate that it is about. */
function namesIn(error: unknown): string {
  const { cert } = error as { readonly cert?: { readonly subjectaltname?: string } };
  return cert?.subjectaltname ?? "it has none";
}
