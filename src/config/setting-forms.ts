// SPDX-License-Identifier: Apache-2.0
// The forms of settings that are more than a number or a word, each with what is said where a text has another one.
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { z } from "zod";
import { parseSubject } from "../lib/certificate-subject.js";
import { isLoopback, loopbackAddress } from "../lib/listen-address.js";

/** How a host's displays are reached. */
export function dataPath(): z.ZodEnum<{ agent: "agent"; direct: "direct" }> {
  return z.enum(["agent", "direct"]);
}

/** A certificate's subject as SPICE clients take it. */
export function subject(): z.ZodString {
  return z
    .string()
    .refine((text) => parseSubject(text) !== undefined, "must be a subject such as C=XX,O=Example,CN=host-1");
}

/** An origin as browsers send it: scheme, host, and port where it is not the scheme's own. */
export function origin(): z.ZodString {
  return z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text && text !== "null", {
    error: ({ input }) =>
      typeof input === "string" && /^[\w.:[\]-]+$/.test(input)
        ? `must be a whole origin: write https://${input} (or http://) for Nova's bare host name`
        : "must be an origin such as https://dashboard.example, without a path",
  });
}

/** What the client of memcached takes: no address in brackets. */
export function memcachedAddress(): z.ZodString {
  return loopbackAddress().refine((text) => !text.startsWith("["), "must be an IPv4 address or localhost");
}

/** An address, or a network as address/bits. */
export function network(): z.ZodString {
  return z.string().refine(isNetwork, "must be an address or a network, for example 10.0.0.0/8");
}

function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** A URL that a token can be appended to. */
export function plainUrl(): z.ZodString {
  return z.string().refine(isPlainUrl, "must be an http or https URL without query and fragment");
}

function isPlainUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && !/[?#]/.test(text);
}

/** Whether OpenSSL knows one at least of the ciphers in a list. */
export function areCiphers(ciphers: string): boolean {
  try {
    createSecureContext({ ciphers });
    return true;
  } catch {
    return false;
  }
}

/** True where nothing leaves this machine unencrypted, or the operator has said by name that it may. */
export function isPrivateDatabaseUrl(text: string): boolean {
  if (!URL.canParse(text)) return true;
  const { hostname, searchParams } = new URL(text);
  const host = searchParams.get("host") ?? hostname.replace(/^\[|\]$/g, "");
  return host === "" || host.startsWith("/") || isLoopback(host) || searchParams.has("sslmode");
}
