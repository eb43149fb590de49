// SPDX-License-Identifier: Apache-2.0
import type { LimitSettings } from "../../src/config/limit-settings.js";
import type { CallLimits, CallLimitsOptions } from "../../src/rpc/call-limits.js";
import { createCallLimits } from "../../src/rpc/call-limits.js";
import { FakeClock } from "../fakes/fake-clock.js";

const NONE: LimitSettings = {
  requests_per_caller: 0,
  caller_burst: 1,
  requests_per_address: 0,
  address_burst: 1,
  failed_logins_per_address: 0,
  failed_redemptions_per_address: 0,
  sessions_per_address: 0,
  agent_connections_per_address: 0,
  agent_messages: 0,
};

/** Limits of which only those exist that a test names; time stands still unless it brings a clock. */
export function callLimits(
  settings: Partial<LimitSettings>,
  more: Partial<Omit<CallLimitsOptions, "settings">> = {},
): CallLimits {
  const clock = new FakeClock();
  const notes = { note: () => undefined };
  return createCallLimits({ isFree: () => false, notes, clock, ...more, settings: { ...NONE, ...settings } });
}
