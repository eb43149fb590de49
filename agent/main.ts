#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The agent's command line: arguments in, one function called.
import { Command } from "commander";
import { readFileSync } from "node:fs";
import { ConfigError, formatSettings } from "../src/config/load-config.js";
import { runProgram } from "../src/lib/lifecycle.js";
import type { Log } from "../src/lib/log.js";
import { createLog } from "../src/lib/log.js";
import type { AgentConfig } from "./agent-config.js";
import { agentSchema, loadAgentConfig } from "./agent-config.js";
import { Agent } from "./agent.js";
import { EnrollmentError, ensureEnrolled } from "./enrollment.js";
import { IdentityFolder } from "./identity-folder.js";
import { exitNow } from "./libvirt/libvirt-hypervisor.js";

const packageJson = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageJson, "utf8")) as { version: string };

const program = new Command("spicegate-agent")
  .description("Console access for virtual machines: the agent of a libvirt host. Runs until SIGTERM.")
  .version(version)
  .option("--config <file>", "YAML file with the settings (default: $SPICEGATE_CONFIG)")
  .action(async () => {
    const config = readConfig();
    const log = createLog("spicegate-agent", config.log.level);
    await enroll(config, log);
    // An ordinary exit would wait for a worker that is stuck inside libvirt.
    await runProgram(new Agent({ config, version, log }), { log, exit: exitNow });
  });

program
  .command("check-config")
  .description("check the settings and print what is in effect")
  .action(() => void process.stdout.write(formatSettings(agentSchema, readConfig())));

program
  .command("enroll")
  .description("get this host's certificate with its join token, and leave; a start of the agent does the same")
  .action(async () => {
    const config = readConfig();
    if (config.agent.enrollment.length === 0) fail("agent.enrollment names no controller to enrol with");
    await enroll(config, createLog("spicegate-agent", config.log.level));
  });

await program.parseAsync();

/** Where no further attempt would help, neither does a restart: the exit code is that of settings that are no good. */
async function enroll({ agent }: AgentConfig, log: Log): Promise<void> {
  const { enrollment: addresses, host, join_token_file: tokenFile } = agent;
  if (addresses.length === 0) return;
  try {
    await ensureEnrolled({ host, addresses, folder: new IdentityFolder(agent.identity_folder, host), tokenFile, log });
  } catch (error) {
    if (!(error instanceof EnrollmentError)) throw error;
    fail(error.message);
  }
}

function fail(message: string): never {
  process.stderr.write(`spicegate-agent: ${message}\n`);
  process.exit(2);
}

function readConfig(): AgentConfig {
  const { config: file = process.env["SPICEGATE_CONFIG"] } = program.opts<{ config?: string }>();
  try {
    return loadAgentConfig({ file, env: process.env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    fail(error.message);
  }
}
