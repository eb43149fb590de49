// SPDX-License-Identifier: Apache-2.0
// The section `sessions`: how many there may be at a time, and for how long. How often they may begin is in `limits`.
import { z } from "zod";

const SHORTEST_IDLE_TIME_S = 10;

/** How many sessions there may be, and how long. */
export const sessionsSchema = z.strictObject({
  max_channels: z
    .int()
    .min(4)
    .max(256)
    .default(32)
    .describe("How many channels one session may have open at a time; a viewer opens about five; 4 to 256."),
  max_per_instance: z
    .int()
    .min(0)
    .max(100_000)
    .default(16)
    .describe(
      "How many sessions of one instance may be open at a time; one without a viewer counts until sessions.rejoin_time is over; 0 = any number.",
    ),
  max_per_caller: z
    .int()
    .min(0)
    .max(100_000)
    .default(500)
    .describe(
      "How many sessions may be open at a time of the URLs that one caller asked for; a portal that asks for everybody's URLs is one caller; 0 = any number.",
    ),
  max_per_controller: z
    .int()
    .min(0)
    .max(100_000)
    .default(2_000)
    .describe(
      "How many sessions with a viewer on this controller keep further ones from beginning here; 0 = any number.",
    ),
  second_viewer: z
    .enum(["share", "deny", "take-over"])
    .default("share")
    .describe(
      "When a console is opened that somebody has open: share = both may have it, deny = the newer one is refused, take-over = the older one's session ends.",
    ),
  idle_time: z
    .int()
    .min(0)
    .max(31_536_000)
    .refine(
      (seconds) => seconds === 0 || seconds >= SHORTEST_IDLE_TIME_S,
      `must be 0 or at least ${SHORTEST_IDLE_TIME_S}`,
    )
    .default(0)
    .describe(
      `After how many seconds without a key or the mouse a session ends, ${SHORTEST_IDLE_TIME_S} to a year; the page warns a minute before; 0 = never.`,
    ),
  max_length: z
    .int()
    .min(0)
    .max(31_536_000)
    .default(0)
    .describe("After how many seconds a session ends whatever happens, at most a year; 0 = never."),
  rejoin_time: z
    .int()
    .min(5)
    .max(86_400)
    .default(60)
    .describe(
      "For how many seconds a session can be joined again after its last channel closed, before it ends; 5 to 86,400.",
    ),
});
