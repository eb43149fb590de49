// SPDX-License-Identifier: Apache-2.0
import { type Reason, reasonOf } from "./words.js";

/** Codes that stand for a reason even where the closing frame's text was lost. */
const REASONS: ReadonlyMap<number, Reason> = new Map([
  [1000, "DISPLAY_CLOSED"],
  [4001, "TERMINATED"],
  [4002, "INSTANCE_STOPPED"],
  [4003, "INSTANCE_CRASHED"],
  [4004, "INSTANCE_DELETED"],
  [4005, "SESSION_EXPIRED"],
  [4006, "IDLE"],
  [4007, "TAKEN_OVER"],
  [4008, "AGENT_GONE"],
  [4009, "CONTROLLER_DRAINING"],
  [4010, "INSTANCE_MOVED"],
  // The others are 4000 plus an HTTP status.
  [4403, "PERMISSION_DENIED"],
  [4404, "SESSION_NOT_FOUND"],
  [4410, "SESSION_ENDED"],
  [4429, "LIMITED"],
  [4500, "INTERNAL"],
  [4502, "TARGET_REFUSED"],
  [4503, "AGENT_UNAVAILABLE"],
  [4504, "AGENT_TIMEOUT"],
]);

/** Why a channel was closed: by the text of its closing frame, else by its code; NETWORK where the server said nothing. */
export function reasonOfClose(code: number, text: string): Reason {
  const named = reasonOf(text);
  if (named !== "PROTOCOL") return named;
  if (code < 4000 && code !== 1000) return "NETWORK";
  return REASONS.get(code) ?? "PROTOCOL";
}
