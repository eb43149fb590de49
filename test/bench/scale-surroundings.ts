// SPDX-License-Identifier: Apache-2.0
// Many hosts on one controller, and beside it the same controller with few: what grows with the number of hosts shows in
// the difference. Hosts are simulated and their machines have no display that anybody opens.
import type { ChildProgram } from "../../demo/child-program.js";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { controllerProgram } from "../../demo/spicegate-programs.js";
import type { Part } from "../../src/lib/lifecycle.js";
import type { FleetOptions } from "./fleet.js";
import { Fleet } from "./fleet.js";
import { createProductDatabase } from "./product-database.js";
import { freeAddress, controllerFiles } from "./product-files.js";

/** A controller with its addresses. */
export interface ScaleController {
  readonly program: ChildProgram;
  readonly api: string;
  readonly agents: string;
  readonly telemetry: string;
}

/** It waits for its hosts before it says so. */
const READY_MS = 60_000;
/** Nobody listens there. */
const NO_DISPLAY = 5_900;

/** All of it. `stop` ends everything, and is safe twice. */
export class ScaleSurroundings implements Part {
  readonly #folder = createRunFolder();
  readonly #postgres = new EmbeddedPostgres();
  readonly #parts: Part[] = [];
  #controllers: readonly ScaleController[] = [];

  /** The controller that gets few hosts. */
  get few(): ScaleController {
    return this.#controller(0);
  }

  /** The one that gets many. */
  get many(): ScaleController {
    return this.#controller(1);
  }

  async start(): Promise<void> {
    await this.#postgres.start();
    this.#controllers = [await this.#startController("few"), await this.#startController("many")];
  }

  /** Starts a fleet without hosts yet. */
  async startFleet(
    { agents }: ScaleController,
    options: Omit<FleetOptions, "controllers" | "displayPort">,
  ): Promise<Fleet> {
    const fleet = new Fleet({ ...options, controllers: [agents], displayPort: NO_DISPLAY });
    this.#parts.push(fleet);
    await fleet.start();
    return fleet;
  }

  async stop(): Promise<void> {
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.#postgres.stop();
    await removeRunFolder(this.#folder);
  }

  #controller(index: number): ScaleController {
    const controller = this.#controllers[index];
    if (!controller) throw new Error("not started");
    return controller;
  }

  async #startController(name: string): Promise<ScaleController> {
    const [api, agents, tunnel] = [await freeAddress(), await freeAddress(), await freeAddress()];
    const files = await controllerFiles(this.#folder, name, {
      api: { listen: api },
      agents: { listen: agents, tunnel_listen: tunnel },
      proxy: { listen: await freeAddress() },
      database: { url: await createProductDatabase(this.#postgres, name) },
    });
    const program = controllerProgram({ ...files, readyMs: READY_MS });
    this.#parts.push(program);
    await program.start();
    return { program, api, agents, telemetry: files.telemetry };
  }
}
