// SPDX-License-Identifier: Apache-2.0
// How the end of a channel is told to its viewer, and how it is recorded.
import { ERROR_TABLE, reasonOf } from "../lib/service-error.js";
import type { ErrorReason } from "../lib/service-error.js";
import { CLOSE_CODES } from "./session.js";
import type { ChannelEndReason, Closing } from "./session.js";

/** What a viewer is told of a reason; one without a code of its own is SESSION_ENDED to it. */
export function closingFor(reason: ChannelEndReason): Closing {
  return hasCode(reason) ? { reason, code: CLOSE_CODES[reason] } : closingOf("SESSION_ENDED");
}

/** What a viewer is told when its channel fails: 4000 plus the error's HTTP status. */
export function closingFromError(error: unknown): Closing {
  return closingOf(reasonOf(error));
}

/** The channel's end for the record: the reason itself, or REFUSED where it is an error's. */
export function endReasonOf({ reason }: Closing): ChannelEndReason {
  return hasCode(reason) ? reason : "REFUSED";
}

function closingOf(reason: ErrorReason): Closing {
  return { reason, code: 4_000 + ERROR_TABLE[reason].http };
}

function hasCode(reason: Closing["reason"]): reason is keyof typeof CLOSE_CODES {
  return Object.hasOwn(CLOSE_CODES, reason);
}
