// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";

/** A certificate's serial number as it is stored and compared: hexadecimal, lower case, no leading zeros. */
export function serialOf({ serialNumber }: Pick<X509Certificate, "serialNumber">): string {
  return serialNumber.toLowerCase().replace(/^0+/, "");
}
