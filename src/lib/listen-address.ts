// SPDX-License-Identifier: Apache-2.0
import { BlockList, isIP } from "node:net";
import { z } from "zod";

/** host and port of a listener or a peer. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Splits "host:port" or "[v6]:port"; undefined where it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** The address of a setting that `anyAddress` has checked. */
export function requireAddress(text: string): Address {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is not an address`);
  return address;
}

/** "host:port", with brackets around an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for 127.0.0.0/8, ::1 and "localhost". */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? "ipv6" : "ipv4");
}

/** What is said of an address that would be reached in the clear. */
export const LOOPBACK_ONLY =
  "must be a loopback address (127.0.0.0/8, ::1 or localhost): without TLS nothing is sent beyond this machine";

/** Whether a setting stands for every address of this machine, which nobody can dial. */
export function isWildcard(text: string): boolean {
  return /^[0:.]+$/.test(parseAddress(text)?.host ?? "");
}

/** Whether a setting stays on this machine; what is no address is left to others. */
export function staysOnLoopback(text: string): boolean {
  const address = parseAddress(text);
  return address === undefined || isLoopback(address.host);
}

/** A setting of the form host:port. */
export function anyAddress(): z.ZodString {
  return z
    .string()
    .refine((text) => parseAddress(text) !== undefined, "must be host:port, for example 127.0.0.1:50051");
}

/** The same for what cannot encrypt, which must be on loopback. */
export function loopbackAddress(): z.ZodString {
  return anyAddress().refine(staysOnLoopback, LOOPBACK_ONLY);
}
