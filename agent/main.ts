#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The agent's command line: arguments in, one function called.
import { Command } from "commander";
import { readFileSync } from "node:fs";
import { ConfigError, formatSettings } from "../src/config/load-config.js";
import { runProgram } from "../src/lib/lifecycle.js";
import { createLog } from "../src/lib/log.js";
import type { AgentConfig } from "./agent-config.js";
import { agentSchema, loadAgentConfig } from "./agent-config.js";
import { Agent } from "./agent.js";
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
    // An ordinary exit would wait for a worker that is stuck inside libvirt.
    await runProgram(new Agent({ config, version, log }), { log, exit: exitNow });
  });

program
  .command("check-config")
  .description("check the settings and print what is in effect")
  .action(() => void process.stdout.write(formatSettings(agentSchema, readConfig())));

await program.parseAsync();

function readConfig(): AgentConfig {
  const { config: file = process.env["SPICEGATE_CONFIG"] } = program.opts<{ config?: string }>();
  try {
    return loadAgentConfig({ file, env: process.env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`spicegate-agent: ${error.message}\n`);
    process.exit(2);
  }
}
