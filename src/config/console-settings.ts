// SPDX-License-Identifier: Apache-2.0
// The section `console`.
import { z } from "zod";
import { areCiphers, origin } from "./setting-forms.js";

/** SPICE's channel types that can be let in. Without main there is no viewer. */
export const CHANNEL_TYPES = [
  "main",
  "display",
  "inputs",
  "cursor",
  "playback",
  "record",
  "smartcard",
  "usbredir",
  "port",
  "webdav",
] as const;

/** What viewers may do, and how. */
export const consoleSchema = z.strictObject({
  allowed_origins: z
    .array(origin())
    .default([])
    .describe(
      "Other origins (https://dashboard.example) whose scripts may open and end consoles here; links and frames need none.",
    ),
  compat_tokens: z
    .boolean()
    .default(false)
    .describe(
      "Whether viewers made for Nova's proxy may enter with ?token=; each token then opens its console until it expires.",
    ),
  channel_types: z
    .array(z.enum(CHANNEL_TYPES))
    .refine((types) => types.includes("main"), "must name main, the channel that every viewer begins with")
    .default(["main", "display", "inputs", "cursor", "playback", "record"])
    .describe(
      `The SPICE channels that viewers may open, of ${CHANNEL_TYPES.join(", ")}; any other is refused by itself. The page needs main, display and inputs.`,
    ),
  ssl_minimum_version: z
    .enum(["default", "tlsv1_2", "tlsv1_3"])
    .default("default")
    .describe("The oldest TLS that proxy.listen speaks: default (tlsv1_2), tlsv1_2, tlsv1_3."),
  ssl_ciphers: z
    .string()
    .refine(areCiphers, "must be a list of ciphers as OpenSSL has it, with one at least that it knows")
    .optional()
    .describe("The ciphers that proxy.listen takes, as OpenSSL lists them; unset = those of Node.js."),
});
