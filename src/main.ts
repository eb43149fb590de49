#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The controller's command line: arguments in, one function called.
import { Command } from "commander";
import { readFileSync } from "node:fs";
import { addCaCommands } from "./cli/ca-command.js";
import { addHostCommands } from "./cli/host-commands.js";
import { addUserCommands } from "./cli/user-commands.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { controllerSchema, loadControllerConfig } from "./config/controller-config.js";
import { ConfigError, formatSettings } from "./config/load-config.js";
import { ConsoleAuthProgram } from "./consoleauth-program.js";
import { checkUpgrade } from "./consoleauth/upgrade-check.js";
import { Controller } from "./controller.js";
import { migrate } from "./db/migrate.js";
import { runProgram } from "./lib/lifecycle.js";
import type { Log } from "./lib/log.js";
import { createLog } from "./lib/log.js";
import { messageOf } from "./lib/message-of.js";

const packageJson = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageJson, "utf8")) as { version: string };

/** The exit code of `upgrade-check`, as of `nova-status upgrade check`, where it could not check. */
const UNEXPECTED = 255;

const program = new Command("spicegate")
  .description("Console access for virtual machines: the controller.")
  .version(version)
  .option("--config <file>", "YAML file with the settings (default: $SPICEGATE_CONFIG)");

program
  .command("serve")
  .description("run the controller until SIGTERM")
  .action(async () => {
    const config = readConfig();
    const log = createLog("spicegate", config.log.level);
    await runProgram(new Controller({ config, log }), { log });
  });

program
  .command("consoleauth")
  .description("run the legacy store of console tokens until SIGTERM (only for workarounds.enable_consoleauth)")
  .action(async () => {
    const config = readConfig();
    const log = createLog("spicegate-consoleauth", config.log.level);
    await runProgram(new ConsoleAuthProgram({ config, log }), { log });
  });

program
  .command("migrate")
  .description("bring the database to this version's schema; harmless when it is there already")
  .action(async () => {
    const config = readConfig();
    const log = createLog("spicegate", config.log.level);
    await runMigration(config, log);
  });

program
  .command("check-config")
  .description("check the settings and print what is in effect, secrets hidden")
  .action(() => void process.stdout.write(formatSettings(controllerSchema, readConfig())));

program
  .command("upgrade-check")
  .description("say whether workarounds.enable_consoleauth can go off; exits with 0 (yes), 1 (warnings), 2 (no), 255")
  .action(async () => {
    const config = readConfig(UNEXPECTED);
    await runUpgradeCheck(config);
  });

addUserCommands(program, readConfig);
addHostCommands(program);
addCaCommands(program);

await program.parseAsync();

function readConfig(exitCode = 2): ControllerConfig {
  const { config: file = process.env["SPICEGATE_CONFIG"] } = program.opts<{ config?: string }>();
  try {
    return loadControllerConfig({ file, env: process.env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`spicegate: ${error.message}\n`);
    process.exit(exitCode);
  }
}

async function runMigration(config: ControllerConfig, log: Log): Promise<void> {
  try {
    await migrate(config.database, log);
  } catch (error) {
    log.fatal({ err: error }, "the database was not migrated");
    process.exitCode = 1;
  }
}

async function runUpgradeCheck(config: ControllerConfig): Promise<void> {
  try {
    const { text, exitCode } = await checkUpgrade(config);
    process.stdout.write(text);
    process.exitCode = exitCode;
  } catch (error) {
    process.stderr.write(`spicegate: ${messageOf(error)}\n`);
    process.exitCode = UNEXPECTED;
  }
}
