// SPDX-License-Identifier: Apache-2.0
// What viewers are told, for docs/errors.md: taken from the tables that the server and its page go by.
import { ERROR_TABLE } from "../src/lib/service-error.js";
import type { ErrorReason } from "../src/lib/service-error.js";
import { reasonOf, wordsOf } from "../src/page/words.js";
import type { Words } from "../src/page/words.js";
import { CLOSE_CODES, SESSION_END_REASONS } from "../src/sessions/session.js";

/** What opening a console URL is refused with, in the order in which it is checked. */
const REDEEM_REFUSALS: readonly ErrorReason[] = [
  "ORIGIN_REFUSED",
  "DRAINING",
  "DATABASE_UNAVAILABLE",
  "TOKEN_INVALID",
  "TOKEN_EXPIRED",
  "TOKEN_USED",
  "CONSOLE_TYPE_INVALID",
  "INSTANCE_NOT_READY",
  "AGENT_UNAVAILABLE",
  "AGENT_TIMEOUT",
  "SPICE_DISABLED",
  "HOST_LACKS_SPICE",
  "HYPERVISOR_UNAVAILABLE",
  "INSTANCE_NOT_FOUND",
  "INSTANCE_NOT_RUNNING",
  "NO_SPICE_DISPLAY",
  "TARGET_CHANGED",
  "INSTANCE_BUSY",
  "CONSOLE_IN_USE",
];

/** The limits that opening a console URL is refused with (LIMITED), which are judged last. */
const REDEEM_LIMITS = [
  "max_per_controller",
  "max_per_instance",
  "max_per_caller",
  "sessions_per_address",
  "failed_redemptions_per_address",
];

const THEN: Readonly<Record<Words["next"], string>> = {
  wait: "connects again by itself",
  ask: "asks whether to try again",
  over: "is over",
};

/** Rows of reason, HTTP status, and what the page says. */
export function redeemRows(): string[][] {
  const refusals = REDEEM_REFUSALS.map((reason) => [reason, String(ERROR_TABLE[reason].http), saysOf(reason)]);
  const { http } = ERROR_TABLE.LIMITED;
  return [
    ...refusals,
    ...REDEEM_LIMITS.map((limit) => [`LIMITED, \`${limit}\``, String(http), saysOf("LIMITED", limit)]),
  ];
}

/** Rows of close code, reason, what it ends, what the page says, and what it does then. */
export function closeRows(): string[][] {
  const ends = new Set<string>(SESSION_END_REASONS);
  const codes = Object.entries(CLOSE_CODES).sort(([, one], [, other]) => one - other);
  return codes.map(([reason, code]) => {
    const { title, next } = wordsOf(reasonOf(reason));
    return [String(code), reason, ends.has(reason) ? "the session" : "the channel", title, THEN[next]];
  });
}

function saysOf(reason: ErrorReason, limit?: string): string {
  const { title, text } = wordsOf(reasonOf(reason, limit));
  return `${title}. ${text}`;
}
