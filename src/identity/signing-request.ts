// SPDX-License-Identifier: Apache-2.0
// What a host sends to have its key signed. Only the key counts: whatever names the request holds are the host's wish.
import { Pkcs10CertificateRequest } from "@peculiar/x509";
import type { KeyObject } from "node:crypto";
import { createPublicKey, webcrypto } from "node:crypto";
import { MAX_SIGNING_REQUEST_BYTES } from "../lib/limits.js";
import { isStrongKey } from "../lib/strong-key.js";
import { invalid } from "../lib/validate.js";

const FIELD = "signing_request";

/** The public key of a request (PKCS #10, DER) that is signed with it. Throws INVALID_ARGUMENT. */
export async function publicKeyFrom(request: Uint8Array): Promise<KeyObject> {
  if (request.length > MAX_SIGNING_REQUEST_BYTES) {
    throw invalid(FIELD, `must have at most ${MAX_SIGNING_REQUEST_BYTES} bytes`);
  }
  const parsed = parse(request);
  const key = keyOf(parsed);
  if (!isStrongKey(key))
    throw invalid(FIELD, "must be of an ECDSA key on P-256 or P-384, or of an RSA key of 2048 bits");
  if (!(await isSigned(parsed))) throw invalid(FIELD, "must be signed with its own key");
  return key;
}

function parse(request: Uint8Array): Pkcs10CertificateRequest {
  try {
    return new Pkcs10CertificateRequest(request);
  } catch {
    throw invalid(FIELD, "must be a certificate signing request: PKCS #10, DER");
  }
}

function keyOf(request: Pkcs10CertificateRequest): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: "der", type: "spki" });
  } catch {
    throw invalid(FIELD, "must hold a public key");
  }
}

async function isSigned(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify(webcrypto);
  } catch {
    return false;
  }
}
