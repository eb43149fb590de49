// SPDX-License-Identifier: Apache-2.0
// `spicegate ca`: an authority in files. Local: it asks no controller and no database.
import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { isIP } from "node:net";
import { initAuthority, issueForController } from "../identity/authority-folder.js";
import type { CommandOutput } from "./reporting.js";
import { CommandError, reporting } from "./reporting.js";

interface InitOptions {
  readonly out: string;
  readonly name: string;
  readonly days: number;
}

interface IssueOptions {
  readonly ca: string;
  readonly out: string;
  readonly name: readonly string[];
  readonly address: readonly string[];
  readonly days: number;
}

const MOST_DAYS = 36_500;
const DNS_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;

/** Adds the commands to a program. They say what they made and what to do with it. */
export function addCaCommands(program: Command): void {
  const ca = program.command("ca").description("make the authority that lets hosts in, and what it signs; local");
  ca.command("init")
    .description("make an authority: ca.pem and ca.key; never overwrites one")
    .requiredOption("--out <folder>", "where they go")
    .option("--name <text>", "what the authority is called", "spicegate")
    .option("--days <number>", "for how many days it is good", parseDays, 3_650)
    .action((options: InitOptions) => reporting(() => init(options)));
  ca.command("issue")
    .description("make a controller's certificate, for its listeners: controller.pem and controller.key")
    .requiredOption("--ca <folder>", "where ca.pem and ca.key are")
    .requiredOption("--out <folder>", "where the certificate goes")
    .option("--name <host...>", "names by which the controller is reached", parseName, [])
    .option("--address <ip...>", "addresses by which it is reached", parseAddress, [])
    .option("--days <number>", "for how many days it is good", parseDays, 365)
    .action((options: IssueOptions) => reporting(() => issue(options)));
}

async function init({ out, name, days }: InitOptions): Promise<CommandOutput> {
  const { cert, key } = await initAuthority(out, name, days);
  const words = `made ${cert} and ${key}

Whoever has ca.key can be any host and any controller: keep a copy of it in a safe place.
Next, for each controller (with all names and addresses by which agents and clients reach it):

  spicegate ca issue --ca ${out} --name controller-1.example --address 192.0.2.1 --out controller-1

and on every controller, with the same two files:

  enrollment:
    ca_cert: ${cert}
    ca_key: ${key}`;
  return { out: "", words };
}

async function issue({ ca, out, name, address, days }: IssueOptions): Promise<CommandOutput> {
  const names = [...name, ...address];
  if (names.length === 0) throw new CommandError("give the controller a --name or an --address");
  const { cert, key } = await issueForController({ authority: ca, out, names, days });
  const words = `made ${cert} and ${key} for ${names.join(", ")}

Next, on that controller:

  api:
    cert: ${cert}
    key: ${key}
  agents:
    cert: ${cert}
    key: ${key}
    ca_file: ${ca}/ca.pem

and for each host, on its way in:

  spicegate host token --host NAME`;
  return { out: "", words };
}

function parseDays(text: string): number {
  const days = Number(text);
  if (/^[0-9]+$/.test(text) && days >= 1 && days <= MOST_DAYS) return days;
  throw new InvalidArgumentError(`It must be 1 to ${MOST_DAYS}.`);
}

function parseName(text: string, before: readonly string[]): readonly string[] {
  if (DNS_NAME.test(text) && isIP(text) === 0) return [...before, text];
  throw new InvalidArgumentError("It must be a DNS name; for an address there is --address.");
}

function parseAddress(text: string, before: readonly string[]): readonly string[] {
  if (isIP(text) !== 0) return [...before, text];
  throw new InvalidArgumentError("It must be an IP address.");
}
