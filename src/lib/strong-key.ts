// SPDX-License-Identifier: Apache-2.0
import type { KeyObject } from "node:crypto";

/** The curves that are used here, by OpenSSL's names: what web cryptography calls them. */
export const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384" };

const FEWEST_RSA_BITS = 2_048;

/** True for the keys that sign and are signed here: ECDSA on P-256 or P-384, RSA with 2048 bits at least. */
export function isStrongKey(key: KeyObject): boolean {
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "ec") return namedCurve in CURVES;
  return key.asymmetricKeyType === "rsa" && modulusLength >= FEWEST_RSA_BITS;
}
