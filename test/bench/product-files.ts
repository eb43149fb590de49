// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { freePort } from "../../demo/ports.js";
import type { SpicegateProgramOptions } from "../../demo/spicegate-programs.js";

/** Writes the settings of one of our programs into a run folder and says what it needs to be started. */
export async function productFiles(folder: string, name: string, settings: object): Promise<SpicegateProgramOptions> {
  const telemetry = await freeAddress();
  const configFile = join(folder, `${name}.yaml`);
  writeFileSync(configFile, stringify({ ...settings, telemetry: { listen: telemetry } }), { mode: 0o600 });
  return { home: homeIn(folder), configFile, logFile: join(folder, `${name}.log`), telemetry };
}

const FOR_LOAD = { identity: { trust_loopback: true }, limits: { requests_per_caller: 0 } };

/** The same for a controller that takes its callers' word, as they are on this machine, and lets one ask without end. */
export function controllerFiles(folder: string, name: string, settings: object): Promise<SpicegateProgramOptions> {
  return productFiles(folder, name, { ...FOR_LOAD, ...settings });
}

/** The home of every program of a run folder. */
export function homeIn(folder: string): string {
  const home = join(folder, "home");
  mkdirSync(home, { recursive: true });
  return home;
}

/** An address on the loopback device at which nobody listens. */
export async function freeAddress(): Promise<string> {
  return `127.0.0.1:${await freePort()}`;
}
