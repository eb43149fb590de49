// SPDX-License-Identifier: Apache-2.0

/** What an RSA key of 1024 bits encrypts to; SPICE knows no other. */
export const TICKET_BYTES = 128;

/**
 * An encrypted password in full length. As a number it loses its leading zeros, which one in 256 has; a machine cannot
 * decrypt what is shorter.
 */
export function wholeTicket(bytes: readonly number[]): readonly number[] {
  return [...Array<number>(Math.max(0, TICKET_BYTES - bytes.length)).fill(0), ...bytes];
}
