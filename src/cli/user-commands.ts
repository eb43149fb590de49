// SPDX-License-Identifier: Apache-2.0
// `spicegate user` and `spicegate whoami`: who may call.
import type { Command } from "commander";
import type { UserToken } from "../../proto/gen/spicegate/identity/v1/identity.js";
import type { ControllerConfig } from "../config/controller-config.js";
import { requestFrom } from "../console/manage-users.js";
import { DEFAULT_USER_TOKEN_TTL_S, MAX_PAGE_SIZE } from "../lib/limits.js";
import { parseDuration } from "./duration.js";
import { makeFirstUserToken } from "./first-user-token.js";
import type { ApiOptions } from "./identity-client.js";
import { withApiOptions, withIdentityClient } from "./identity-client.js";
import type { CommandOutput } from "./reporting.js";
import { CommandError, reporting } from "./reporting.js";
import { momentOf, tableOf } from "./table.js";

interface TokenOptions extends ApiOptions {
  readonly subject: string;
  readonly project?: string;
  readonly role: readonly string[];
  readonly ttl: number;
  readonly first?: true;
}

interface SubjectOptions extends ApiOptions {
  readonly subject?: string;
}

/** Adds the commands to a program; `readConfig` is asked only by what goes straight to the database. */
export function addUserCommands(program: Command, readConfig: () => ControllerConfig): void {
  const user = program.command("user").description("the tokens of people and programs that may call");
  withApiOptions(user.command("token"))
    .description("make a token, which goes to standard output: spicegate user token … > FILE")
    .requiredOption("--subject <name>", "whose it is; the name in logs and audit")
    .option("--project <id>", "the project whose instances it sees; member and reader need one")
    .option("--role <role...>", "what it may do: admin, member, reader, auditor, service", [])
    .option("--ttl <time>", "for how long it is good (90s, 1h, 30d)", parseDuration, DEFAULT_USER_TOKEN_TTL_S)
    .option("--first", "the first token, an administrator's: straight in the database, while there is none")
    .action((options: TokenOptions) => reporting(() => (options.first ? first(options, readConfig) : create(options))));
  withApiOptions(user.command("list"))
    .description("list the tokens that are good, newest first")
    .option("--subject <name>", "those of this one alone")
    .action((options: SubjectOptions) => reporting(() => list(options)));
  withApiOptions(user.command("revoke"))
    .description("make tokens worthless, on every controller within 2 s")
    .argument("[id]", "one token, as `user list` names it")
    .option("--subject <name>", "all tokens of this one")
    .action((id: string | undefined, options: SubjectOptions) => reporting(() => revoke(id, options)));
  withApiOptions(program.command("whoami"))
    .description("say who a controller takes you for")
    .action((options: ApiOptions) => reporting(() => whoami(options)));
}

async function create({ subject, project = "", role, ttl, ...api }: TokenOptions): Promise<CommandOutput> {
  if (role.length === 0) throw new CommandError("--role: say what the token may do, for example --role member");
  const request = { subject, projectId: project, roles: [...role], ttlSeconds: ttl };
  const { token, userToken } = await withIdentityClient(api, (client) =>
    client.ask((service) => service.createUserToken.bind(service), request),
  );
  return issued(token, userToken);
}

async function first(options: TokenOptions, readConfig: () => ControllerConfig): Promise<CommandOutput> {
  const { subject, project, role, ttl: ttlSeconds } = options;
  if (project !== undefined || role.some((name) => name !== "admin")) {
    throw new CommandError("--first makes an administrator's token: leave --project and --role out");
  }
  const wish = requestFrom({ subject, projectId: "", roles: ["admin"], ttlSeconds });
  const { token, userToken } = await makeFirstUserToken(readConfig(), wish);
  return issued(token, userToken);
}

function issued(
  token: string,
  userToken: Pick<UserToken, "tokenId" | "subject" | "expiresAt"> | undefined,
): CommandOutput {
  const { tokenId = "", subject = "", expiresAt } = userToken ?? {};
  const words = `token ${tokenId} of ${subject}, good until ${momentOf(expiresAt)}; it is not shown again`;
  return { out: `${token}\n`, words };
}

async function list({ subject = "", ...api }: SubjectOptions): Promise<CommandOutput> {
  const tokens: UserToken[] = [];
  await withIdentityClient(api, async (client) => {
    let pageToken = "";
    do {
      const request = { subject, pageSize: MAX_PAGE_SIZE, pageToken };
      const page = await client.ask((service) => service.listUserTokens.bind(service), request);
      tokens.push(...page.userTokens);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  });
  const rows = tokens.map((token) => [
    token.tokenId,
    token.subject,
    token.projectId,
    token.roles.join(","),
    momentOf(token.expiresAt),
    token.createdBy,
  ]);
  return { out: tableOf(["ID", "SUBJECT", "PROJECT", "ROLES", "EXPIRES", "MADE BY"], rows) };
}

async function revoke(id: string | undefined, { subject, ...api }: SubjectOptions): Promise<CommandOutput> {
  if ((id === undefined) === (subject === undefined)) {
    throw new CommandError("say which: the ID of one token, or --subject for all of somebody's");
  }
  const target =
    id === undefined
      ? ({ $case: "subject", subject: subject ?? "" } as const)
      : ({ $case: "tokenId", tokenId: id } as const);
  const { revokedCount } = await withIdentityClient(api, (client) =>
    client.ask((service) => service.revokeUserTokens.bind(service), { target }),
  );
  if (revokedCount === 0) throw new CommandError("no token that is good was found; `spicegate user list` shows them");
  return { out: "", words: `revoked ${revokedCount} token(s)` };
}

async function whoami(api: ApiOptions): Promise<CommandOutput> {
  const caller = await withIdentityClient(api, (client) =>
    client.ask((service) => service.getCaller.bind(service), {}),
  );
  const row = [caller.subject, caller.projectId, caller.roles.join(","), momentOf(caller.expiresAt)];
  return { out: tableOf(["SUBJECT", "PROJECT", "ROLES", "EXPIRES"], [row]) };
}
