// SPDX-License-Identifier: Apache-2.0
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import type { KeyObject } from "node:crypto";
import { KeyObject as Key, webcrypto } from "node:crypto";

/** A new key, and the request (PKCS #10, DER) to have it signed. */
export interface NewKey {
  readonly key: KeyObject;
  readonly signingRequest: Buffer;
}

const P256 = { name: "ECDSA", namedCurve: "P-256" };

/** Makes a key for this host. It names nothing: whoever signs knows whose it is. */
export async function createKey(): Promise<NewKey> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" };
  const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm }, webcrypto);
  return { key: Key.from(keys.privateKey), signingRequest: Buffer.from(request.rawData) };
}
