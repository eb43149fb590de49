#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The controller's command line: arguments in, one function called.
import { Command } from "commander";
import { readFileSync } from "node:fs";
import type { ControllerConfig } from "./config/controller-config.js";
import { controllerSchema, loadControllerConfig } from "./config/controller-config.js";
import { ConfigError, formatSettings } from "./config/load-config.js";
import { Controller } from "./controller.js";
import { migrate } from "./db/migrate.js";
import { runProgram } from "./lib/lifecycle.js";
import type { Log } from "./lib/log.js";
import { createLog } from "./lib/log.js";

const packageJson = new URL("../../package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(packageJson, "utf8")) as { version: string };

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

await program.parseAsync();

function readConfig(): ControllerConfig {
  const { config: file = process.env["SPICEGATE_CONFIG"] } = program.opts<{ config?: string }>();
  try {
    return loadControllerConfig({ file, env: process.env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`spicegate: ${error.message}\n`);
    process.exit(2);
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
