// SPDX-License-Identifier: Apache-2.0
// `spicegate host`: which hosts may join.
import type { Command } from "commander";
import type { HostIdentity } from "../../proto/gen/spicegate/identity/v1/identity.js";
import { DEFAULT_JOIN_TOKEN_TTL_S, MAX_PAGE_SIZE } from "../lib/limits.js";
import { parseDuration } from "./duration.js";
import type { ApiOptions } from "./identity-client.js";
import { withApiOptions, withIdentityClient } from "./identity-client.js";
import type { CommandOutput } from "./reporting.js";
import { reporting } from "./reporting.js";
import { momentOf, tableOf } from "./table.js";

interface TokenOptions extends ApiOptions {
  readonly host: string;
  readonly ttl: number;
}

/** Adds the commands to a program. */
export function addHostCommands(program: Command): void {
  const host = program.command("host").description("the hosts that may join");
  withApiOptions(host.command("token"))
    .description("make a token with which a host's agent gets its certificate, once; it goes to standard output")
    .requiredOption("--host <name>", "the host, as its agent.host says")
    .option("--ttl <time>", "for how long it is good (90s, 1h, 7d)", parseDuration, DEFAULT_JOIN_TOKEN_TTL_S)
    .action((options: TokenOptions) => reporting(() => create(options)));
  withApiOptions(host.command("list"))
    .description("list the hosts that have a certificate or are revoked")
    .action((options: ApiOptions) => reporting(() => list(options)));
  withApiOptions(host.command("revoke"))
    .description("cut a host off, on every controller within 2 s, and keep it out until it gets another token")
    .argument("<name>", "the host")
    .action((name: string, options: ApiOptions) => reporting(() => revoke(name, options)));
}

async function create({ host, ttl: ttlSeconds, ...api }: TokenOptions): Promise<CommandOutput> {
  const { joinToken, expiresAt } = await withIdentityClient(api, (client) =>
    client.ask((service) => service.createJoinToken.bind(service), { host, ttlSeconds }),
  );
  const words = `for the agent of ${host}, once, until ${momentOf(expiresAt)}: put it into the file of agent.join_token_file`;
  return { out: `${joinToken}\n`, words };
}

async function list(api: ApiOptions): Promise<CommandOutput> {
  const hosts: HostIdentity[] = [];
  await withIdentityClient(api, async (client) => {
    let pageToken = "";
    do {
      const page = await client.ask((service) => service.listHostIdentities.bind(service), {
        pageSize: MAX_PAGE_SIZE,
        pageToken,
      });
      hosts.push(...page.hostIdentities);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  });
  const rows = hosts.map(({ host, issuedAt, expiresAt, revokedAt, revokedBy }) => [
    host,
    momentOf(issuedAt),
    momentOf(expiresAt),
    momentOf(revokedAt),
    revokedBy,
  ]);
  return { out: tableOf(["HOST", "ISSUED", "EXPIRES", "REVOKED", "REVOKED BY"], rows) };
}

async function revoke(host: string, api: ApiOptions): Promise<CommandOutput> {
  const { hostIdentity } = await withIdentityClient(api, (client) =>
    client.ask((service) => service.revokeHost.bind(service), { host }),
  );
  const since = momentOf(hostIdentity?.revokedAt);
  return { out: "", words: `${host} is revoked since ${since}; another \`spicegate host token\` lets it in again` };
}
