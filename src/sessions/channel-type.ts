// SPDX-License-Identifier: Apache-2.0

/** The SPICE channel types by their numbers (spice-protocol: SPICE_CHANNEL_*). */
const NAMES = [
  "unknown",
  "main",
  "display",
  "inputs",
  "cursor",
  "playback",
  "record",
  "tunnel",
  "smartcard",
  "usbredir",
  "port",
  "webdav",
] as const;

/** The name of a channel type in settings and metrics; "unknown" where the viewer has not said it or nobody knows it. */
export function channelTypeName(type: number | undefined): (typeof NAMES)[number] {
  return NAMES[type ?? 0] ?? "unknown";
}
