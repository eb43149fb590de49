// SPDX-License-Identifier: Apache-2.0
// What the settings `limits` limit on this controller, whichever entrance is used.
import type { LimitSettings } from "../config/limit-settings.js";
import type { Clock } from "../lib/clock.js";
import { systemClock } from "../lib/clock.js";
import { MAX_REMEMBERED_ADDRESSES } from "../lib/limits.js";
import { networkOf } from "../lib/network-of.js";
import type { Rate } from "../lib/rate-limit.js";
import { FailedAttempts } from "./failed-attempts.js";
import type { Asker, LimitNotes } from "./limit.js";
import { Limit } from "./limit.js";

/** The limits that entrances ask. */
export interface CallLimits {
  /** Requests over gRPC and REST, before it is known who calls. */
  readonly address: Limit;
  /** And once it is known. */
  readonly caller: Limit;
  /** Callers' credentials, and join tokens. */
  readonly logins: FailedAttempts;
  /** Console tokens, and cookies of sessions. */
  readonly redemptions: FailedAttempts;
  readonly sessions: Limit;
  readonly agentConnections: Limit;
}

/** What they are made from. */
export interface CallLimitsOptions {
  readonly settings: LimitSettings;
  /** Whether nothing is counted by an address: this machine's, or a balancer's, behind which anybody may be. */
  readonly isFree: (address: string) => boolean;
  readonly notes: LimitNotes;
  readonly clock: Clock;
}

/** Makes the limits of one controller. */
export function createCallLimits({ settings, isFree, notes, clock }: CallLimitsOptions): CallLimits {
  const countedBy = remembering((address) => ({ key: isFree(address) ? undefined : networkOf(address) }));
  const byAddress = ({ clientAddress }: Asker): string | undefined => countedBy(clientAddress).key;
  const byCaller = ({ caller }: Asker): string | undefined => caller && `${caller.project} ${caller.subject}`;
  const limit = (name: keyof LimitSettings, what: string, rate: Rate, keyOf = byAddress): Limit =>
    new Limit({ name, what, rate, keyOf, notes, clock });
  const { requests_per_caller: calls, caller_burst: callerBurst } = settings;
  const { requests_per_address: requests, address_burst: addressBurst } = settings;
  const { failed_logins_per_address: logins, failed_redemptions_per_address: redemptions } = settings;
  const { sessions_per_address: sessions, agent_connections_per_address: agents } = settings;
  return {
    address: limit("requests_per_address", "requests from this address", { perSecond: requests, burst: addressBurst }),
    caller: limit("requests_per_caller", "requests of this caller", { perSecond: calls, burst: callerBurst }, byCaller),
    logins: new FailedAttempts(
      limit("failed_logins_per_address", "unknown credentials from this address", aMinute(logins)),
      clock,
    ),
    redemptions: new FailedAttempts(
      limit("failed_redemptions_per_address", "console URLs from this address that are no good", aMinute(redemptions)),
      clock,
    ),
    sessions: limit("sessions_per_address", "new consoles from this address", aMinute(sessions)),
    agentConnections: limit("agent_connections_per_address", "agents from this address", {
      perSecond: agents,
      burst: agents * AGENTS_AT_ONCE_S,
    }),
  };
}

/** Every request asks several times what some microseconds go into: the same function, which remembers some answers. */
function remembering<Answer extends object>(work: (address: string) => Answer): (address: string) => Answer {
  const known = new Map<string, Answer>();
  return (address) => {
    const found = known.get(address);
    if (found) return found;
    if (known.size >= MAX_REMEMBERED_ADDRESSES) known.clear();
    const answer = work(address);
    known.set(address, answer);
    return answer;
  };
}

/** After a restart all agents behind one address come at once. */
const AGENTS_AT_ONCE_S = 10;

/** So many a minute, all of them at once if they like. */
function aMinute(most: number): Rate {
  return { perSecond: most / 60, burst: most };
}

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

/** Limits nothing: for programs that serve this machine alone. */
export const NO_CALL_LIMITS: CallLimits = createCallLimits({
  settings: NONE,
  isFree: () => true,
  notes: { note: () => undefined },
  clock: systemClock,
});
