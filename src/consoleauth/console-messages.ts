// SPDX-License-Identifier: Apache-2.0
// Between consoleauth's messages and what they tell of; both ends of the protocol need it, and so does memcached.
import { AuthorizedConsole as ConsoleMessage } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { MAX_CONSOLE_TYPE_LENGTH, MAX_HOST_LENGTH, MAX_NAME_LENGTH, MAX_PORT } from "../lib/limits.js";
import { invalid, parseText, parseUuid } from "../lib/validate.js";
import type { AuthorizedConsole } from "./console-auth.js";

const TOKEN_HASH = /^[0-9a-f]{64}$/;
const FIRST_MOMENT = new Date("0001-01-01T00:00:00Z");
const LAST_MOMENT = new Date("9999-12-31T23:59:59.999Z");

/** The hash in a message. Throws INVALID_ARGUMENT. */
export function tokenHashFrom(text: string): string {
  if (TOKEN_HASH.test(text)) return text;
  throw invalid("token_hash", "must be 64 lower-case hexadecimal digits");
}

/** An authorization for the wire. */
export function messageFromConsole(console: AuthorizedConsole): ConsoleMessage {
  const { instanceUuid, consoleType, host, port, tlsPort } = console;
  const { internalAccessPath, accessUrlBase, createdBy, expiresAt } = console;
  return {
    ...{ instanceUuid, consoleType, host, accessUrlBase, createdBy, expiresAt },
    port: port ?? 0,
    tlsPort: tlsPort ?? 0,
    internalAccessPath: internalAccessPath ?? "",
  };
}

/** The authorization in a message; without an expiry, one that outlasts every token. Throws INVALID_ARGUMENT. */
export function consoleFromMessage(message: ConsoleMessage | undefined): AuthorizedConsole {
  if (!message) throw invalid("console", "must be given");
  const internalAccessPath = textFrom(message.internalAccessPath, "internal_access_path");
  return {
    instanceUuid: parseUuid(message.instanceUuid, "console.instance_uuid"),
    consoleType: textFrom(message.consoleType, "console_type", { most: MAX_CONSOLE_TYPE_LENGTH, required: true }),
    host: textFrom(message.host, "host", { most: MAX_HOST_LENGTH, required: true }),
    port: portFrom(message.port, "port"),
    tlsPort: portFrom(message.tlsPort, "tls_port"),
    internalAccessPath: internalAccessPath === "" ? undefined : internalAccessPath,
    accessUrlBase: textFrom(message.accessUrlBase, "access_url_base"),
    createdBy: textFrom(message.createdBy, "created_by"),
    expiresAt: momentFrom(message.expiresAt),
  };
}

/** An authorization as text, for a store that keeps nothing else. */
export function textFromConsole(console: AuthorizedConsole): string {
  return Buffer.from(ConsoleMessage.encode(messageFromConsole(console)).finish()).toString("base64");
}

/** The authorization that `textFromConsole` wrote; undefined for what anybody else did. */
export function consoleFromText(text: string): AuthorizedConsole | undefined {
  try {
    return consoleFromMessage(ConsoleMessage.decode(Buffer.from(text, "base64")));
  } catch {
    return undefined;
  }
}

interface Rule {
  readonly most?: number;
  readonly required?: boolean;
}

function textFrom(text: string, field: string, { most = MAX_NAME_LENGTH, required = false }: Rule = {}): string {
  return parseText(text, { field: `console.${field}`, most, required });
}

function portFrom(port: number, field: string): number | undefined {
  if (port > MAX_PORT) throw invalid(`console.${field}`, `must be at most ${MAX_PORT}`);
  return port === 0 ? undefined : port;
}

/** The wire can carry what is no date at all. */
function momentFrom(date: Date = LAST_MOMENT): Date {
  if (date >= FIRST_MOMENT && date <= LAST_MOMENT) return date;
  throw invalid("console.expires_at", "must be a moment between the years 0001 and 9999");
}
