// SPDX-License-Identifier: Apache-2.0
// `spicegate upgrade-check`: whether workarounds.enable_consoleauth can go off. Its form is that of `nova-status upgrade check`.
import { randomBytes } from "node:crypto";
import type { ControllerConfig } from "../config/controller-config.js";
import { Database } from "../db/pool.js";
import type { Querier } from "../db/connection.js";
import { silentLog } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import { RemoteConsoleAuth } from "./remote-console-auth.js";

/** How a check ends; its number is the program's exit code where no other check ends worse. */
const RESULTS = ["Success", "Warning", "Failure"] as const;

/** One check. */
export interface UpgradeCheck {
  readonly check: string;
  readonly result: (typeof RESULTS)[number];
  readonly details: string;
}

/** What all checks say together. */
export interface UpgradeReport {
  readonly text: string;
  /** 0 where all is well, 1 with a warning, 2 with a failure. */
  readonly exitCode: number;
}

type Checked = Pick<ControllerConfig, "api" | "consoleauth" | "database" | "workarounds">;

/** Looks at the database and, where the flag is on, at the legacy store; changes nothing. */
export async function checkUpgrade(config: Checked): Promise<UpgradeReport> {
  const database = new Database({ ...config.database, log: silentLog });
  try {
    const schema = await checkSchema(database);
    const checks = [schema, await checkStore(config), await checkTokens(config, database)];
    return { text: tableOf(checks), exitCode: Math.max(...checks.map(({ result }) => RESULTS.indexOf(result))) };
  } finally {
    await database.stop();
  }
}

async function checkSchema(database: Database): Promise<UpgradeCheck> {
  const check = "Database schema";
  try {
    await database.start();
  } catch (error) {
    return { check, result: "Failure", details: messageOf(error) };
  }
  if (database.isReady()) return { check, result: "Success", details: "It is this version's." };
  return { check, result: "Failure", details: `It cannot be used: ${database.problem}.` };
}

async function checkStore({ api, consoleauth, workarounds }: Checked): Promise<UpgradeCheck> {
  const check = "Legacy store";
  if (!workarounds.enable_consoleauth) return { check, result: "Success", details: "Nobody asks it: the flag is off." };
  // A controller that keeps the tokens itself serves them where its other calls are.
  const address = consoleauth.address ?? api.listen;
  const remote = new RemoteConsoleAuth(address, consoleauth.token);
  try {
    await remote.check(randomBytes(32).toString("hex"), { consume: false });
    return { check, result: "Success", details: `It answers at ${address}.` };
  } catch (error) {
    const why = error instanceof Error ? messageOf(error.cause) : String(error);
    const details = `At ${address} it does not answer (${why}): what it alone knows cannot be opened, nor counted below.`;
    return { check, result: "Failure", details };
  } finally {
    remote.stop();
  }
}

const COUNT_ADOPTED = `
  select count(*)::integer as count, max(occurred_at) as last from audit_events
  where action = 'adopted' and occurred_at > now() - make_interval(secs => $1::integer)`;

async function checkTokens(config: Checked, database: Querier): Promise<UpgradeCheck> {
  const check = "Console auths";
  if (!config.workarounds.enable_consoleauth) {
    return { check, result: "Success", details: "workarounds.enable_consoleauth is off." };
  }
  const ttl = config.consoleauth.token_ttl;
  try {
    const found = await database.query<{ count: number; last: Date | null }>({ text: COUNT_ADOPTED, values: [ttl] });
    const [{ count, last } = { count: 0, last: null }] = found;
    return { check, ...(last ? wait(count, last, ttl) : ready(ttl)) };
  } catch (error) {
    return { check, result: "Failure", details: `The database cannot say: ${messageOf(error)}.` };
  }
}

function wait(count: number, last: Date, ttl: number): Omit<UpgradeCheck, "check"> {
  const what = `In the last ${ttl} s ${count} token(s) came that only the legacy store knew, the last one at ${last.toISOString()}.`;
  const next = `Something still issues tokens there: find it, wait ${ttl} s (consoleauth.token_ttl) and check again.`;
  return { result: "Warning", details: `${what} ${next}` };
}

function ready(ttl: number): Omit<UpgradeCheck, "check"> {
  const what = `In the last ${ttl} s (consoleauth.token_ttl) no token came that only the legacy store knew.`;
  const next = "If the flag has been on that long, set workarounds.enable_consoleauth to false.";
  return { result: "Success", details: `${what} ${next}` };
}

const WIDTH = 76;

function tableOf(checks: readonly UpgradeCheck[]): string {
  const rows = checks.map(({ check, result, details }) => [
    `Check: ${check}`,
    `Result: ${result}`,
    ...wrap(`Details: ${details}`),
  ]);
  const line = `+${"-".repeat(WIDTH + 2)}+\n`;
  const sections = [["Upgrade Check Results"], ...rows];
  return line + sections.map((lines) => lines.map((text) => `| ${text.padEnd(WIDTH)} |\n`).join("") + line).join("");
}

/** Lines of at most the table's width, the later ones indented; a word that is longer still has a line of its own. */
function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : `  ${word}`);
  }
  return lines;
}
