// SPDX-License-Identifier: Apache-2.0
// Whose certificate the other end of a connection has proven. Only where the listener asks for certificates is there one,
// and then TLS has checked its authority and its time already.
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { serialOf } from "../lib/certificate-serial.js";
import { MAX_HOST_LENGTH } from "../lib/limits.js";

/** A certificate that its owner has proven. */
export interface PeerCertificate {
  /** Its dNSName entries as they are; without those that no host can be called, such as wildcards. */
  readonly hosts: readonly string[];
  /** In lower-case hexadecimal digits, without zeros in front. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** What is used of a call of grpc-js. */
export interface AuthenticatedCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } } | null;
}

/** One entry of a subject alternative name as Node writes it: a value that could be misread is a JSON string. */
const ENTRY = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/** Printable, and no asterisk. */
const HOST = /^[\x21-\x29\x2b-\x7e]+$/;

/** The certificate of the peer of a call or a socket; undefined in the clear, and where none was asked for. */
export function peerCertificateOf(peer: AuthenticatedCall | Socket): PeerCertificate | undefined {
  const certificate = "getAuthContext" in peer ? certificateOfCall(peer) : certificateOfSocket(peer);
  return (
    certificate && {
      hosts: hostsOf(certificate),
      serial: serialOf(certificate),
      notBefore: new Date(certificate.validFrom),
      notAfter: new Date(certificate.validTo),
    }
  );
}

function certificateOfCall(call: AuthenticatedCall): X509Certificate | undefined {
  const raw = call.getAuthContext()?.sslPeerCertificate?.raw;
  return raw && new X509Certificate(raw);
}

function certificateOfSocket(socket: Socket): X509Certificate | undefined {
  return socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
}

/** Fails closed: of names that cannot be read to their end none counts. */
function hostsOf({ subjectAltName = "" }: X509Certificate): readonly string[] {
  const hosts: string[] = [];
  ENTRY.lastIndex = 0;
  for (let read = 0; read < subjectAltName.length; read = ENTRY.lastIndex) {
    const [, kind, value = ""] = ENTRY.exec(subjectAltName) ?? [];
    if (kind === undefined) return [];
    if (kind === "DNS") hosts.push(value.startsWith('"') ? (JSON.parse(value) as string) : value);
  }
  return hosts.filter((host) => HOST.test(host) && host.length <= MAX_HOST_LENGTH);
}
