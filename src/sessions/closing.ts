// SPDX-License-Identifier: Apache-2.0
import { ERROR_TABLE } from "../lib/service-error.js";
import { CLOSE_CODES } from "./session.js";
import type { ChannelEndReason, Closing } from "./session.js";

const CODES: Partial<Record<ChannelEndReason, number>> = CLOSE_CODES;

/** What a viewer is told of a reason; one without a code of its own is SESSION_ENDED to it. */
export function closingFor(reason: ChannelEndReason): Closing {
  const code = CODES[reason];
  return code === undefined
    ? { reason: "SESSION_ENDED", code: 4_000 + ERROR_TABLE.SESSION_ENDED.http }
    : { reason, code };
}
