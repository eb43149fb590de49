// SPDX-License-Identifier: Apache-2.0
import { ServiceError } from "../lib/service-error.js";

/** The console types of Nova that this controller issues: for the page it serves, and for a native SPICE proxy. */
const CONSOLE_TYPES = ["spice-html5", "spice-direct"] as const;

/** One of them. */
export type ConsoleType = (typeof CONSOLE_TYPES)[number];

/** The type meant by what a caller sent; empty means "spice-html5". Any other is CONSOLE_TYPE_INVALID. */
export function parseConsoleType(text: string): ConsoleType {
  if (text === "") return "spice-html5";
  const type = CONSOLE_TYPES.find((known) => known === text);
  if (type) return type;
  const known = CONSOLE_TYPES.map((name) => JSON.stringify(name)).join(" or ");
  const message = `console type ${JSON.stringify(text)} is not supported; use ${known}`;
  throw new ServiceError("CONSOLE_TYPE_INVALID", message, { metadata: { console_type: text } });
}

/** Throws CONSOLE_TYPE_INVALID for a protocol whose consoles are not opened here. */
export function requireSpice(protocol: string): void {
  if (protocol === "spice") return;
  const message = `consoles of the protocol ${JSON.stringify(protocol)} are not opened here; use "spice"`;
  throw new ServiceError("CONSOLE_TYPE_INVALID", message, { metadata: { protocol } });
}
