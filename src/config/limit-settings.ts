// SPDX-License-Identifier: Apache-2.0
// The section `limits`: how often something may happen. How much there may be at a time is in `sessions`.
import { z } from "zod";

const MOST = 1_000_000;

function rate(usual: number, description: string): z.ZodDefault<z.ZodInt> {
  return z.int().min(0).max(MOST).default(usual).describe(`${description} 0 = any number.`);
}

function burst(usual: number, description: string): z.ZodDefault<z.ZodInt> {
  return z.int().min(1).max(MOST).default(usual).describe(description);
}

/** How often one caller, address or agent may do what, on each controller. */
export const limitsSchema = z.strictObject({
  requests_per_caller: rate(500, "How many requests a second one caller may make over gRPC and REST together."),
  caller_burst: burst(2_000, "How many requests one caller may make at once after a time of rest."),
  requests_per_address: rate(
    1_000,
    "How many requests a second may come from one address (IPv6: one /64) over gRPC and REST together, whoever calls; loopback and proxy.trusted_proxies are in none of these limits per address.",
  ),
  address_burst: burst(4_000, "How many requests may come from one address at once after a time of rest."),
  failed_logins_per_address: rate(
    120,
    "How many credentials that are not known may come from one address a minute, among them join tokens of agents; from half of it on their answers are held back, after it unknown ones are not looked at.",
  ),
  failed_redemptions_per_address: rate(
    300,
    "How many console tokens and session cookies that are no good may come from one address a minute; after it none is looked at.",
  ),
  sessions_per_address: rate(600, "How many sessions may begin from one address a minute."),
  agent_connections_per_address: rate(100, "How many agents may connect from one address a second."),
  agent_messages: rate(
    4_000,
    "How many messages a second one agent may send, each 4 KiB counting as one; one that sends more is read more slowly.",
  ),
});

/** The checked section. */
export type LimitSettings = z.infer<typeof limitsSchema>;
