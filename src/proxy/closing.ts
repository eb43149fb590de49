// SPDX-License-Identifier: Apache-2.0
import type { ChannelEndReason, Closing } from "../sessions/session.js";
import { CLOSE_CODES } from "../sessions/session.js";
import { ERROR_TABLE, reasonOf } from "../lib/service-error.js";

/** What a viewer is told when its channel fails: 4000 plus the error's HTTP status. */
export function closingFromError(error: unknown): Closing {
  const reason = reasonOf(error);
  return { reason, code: 4_000 + ERROR_TABLE[reason].http };
}

/** The channel's end for the record: the reason itself, or REFUSED where it is an error's. */
export function endReasonOf({ reason }: Closing): ChannelEndReason {
  return isEndReason(reason) ? reason : "REFUSED";
}

function isEndReason(reason: Closing["reason"]): reason is keyof typeof CLOSE_CODES {
  return Object.hasOwn(CLOSE_CODES, reason);
}
