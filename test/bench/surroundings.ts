// SPDX-License-Identifier: Apache-2.0
// Everything that is measured, each a process of its own: libvirt with machines, Postgres, the product, and the floors.
import { credentials } from "@grpc/grpc-js";
import type { ChildProgram } from "../../demo/child-program.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { freePort } from "../../demo/ports.js";
import { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import type { Progress } from "../../demo/progress.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { agentProgram, controllerProgram } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { InventoryServiceClient } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { callUnary } from "../harness/grpc-client.js";
import type { BareAgentOptions } from "./bare/agent.js";
import type { BareControllerOptions } from "./bare/controller.js";
import type { EchoOptions } from "./bare/echo.js";
import { BenchProcess } from "./bench-process.js";
import { createProductDatabase } from "./product-database.js";
import { freeAddress, productFiles, controllerFiles } from "./product-files.js";

/** Enough that 32 callers rarely ask for the same machine at the same moment. */
const MACHINES = 16;
const KNOWN_MS = 15_000;

/** The two ways a console can be had, and what answers at once. */
export interface Addresses {
  readonly product: string;
  readonly bare: string;
  readonly echo: string;
}

/** All that is measured. `start` returns when consoles can be had; `stop` ends everything, and is safe twice. */
export class Surroundings implements Part {
  readonly #progress: Progress;
  readonly #libvirtd: PrivateLibvirtd;
  readonly #postgres = new EmbeddedPostgres();
  readonly #bare: BenchProcess<object>[] = [];
  readonly #programs: ChildProgram[] = [];
  readonly #uuids: string[] = [];
  readonly #folder = createRunFolder();
  #addresses: Addresses = { product: "", bare: "", echo: "" };
  #proxy = "";

  constructor(progress: Progress) {
    this.#progress = progress;
    this.#libvirtd = new PrivateLibvirtd({ progress });
  }

  get addresses(): Addresses {
    return this.#addresses;
  }

  /** Where the product's viewers connect. */
  get proxy(): string {
    return this.#proxy;
  }

  /** The machines; each has a SPICE display on a TCP port. */
  get uuids(): readonly string[] {
    return this.#uuids;
  }

  get libvirtUri(): string {
    return this.#libvirtd.uri;
  }

  /** The database that the bare path and the bare insert fill, which has the product's tables. */
  get bareDatabaseUrl(): string {
    return this.#postgres.databaseUrl("bare");
  }

  /** The pids behind the product and behind the bare path. libvirtd and Postgres serve both. */
  pids(of: "product" | "bare"): { controller: number; agent: number; libvirtd: number; postgres: number } {
    const [controller, agent] = of === "product" ? this.#programs : this.#bare;
    if (!controller || !agent) throw new Error("not started");
    const shared = { libvirtd: this.#libvirtd.pid, postgres: this.#postgres.pid };
    return { controller: controller.pid, agent: agent.pid, ...shared };
  }

  async start(): Promise<void> {
    this.#progress(`starting libvirt with ${MACHINES} machines, and Postgres`);
    await Promise.all([this.#startMachines(), this.#postgres.start()]);
    this.#progress("starting controller and agent, and the bare ones");
    await this.#startProduct();
    await this.#startBare();
  }

  /** Ends the product's agent at once, as when its host loses power. */
  killAgent(): void {
    this.#programs[1]?.kill("SIGKILL");
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#bare, ...this.#programs].map((part) => part.stop()));
    await this.#postgres.stop();
    await this.#libvirtd.stop();
    await removeRunFolder(this.#folder);
  }

  async #startMachines(): Promise<void> {
    await this.#libvirtd.start();
    const owner = { project: "bench", user: "bench" };
    for (let number = 1; number <= MACHINES; number += 1) {
      const name = `bench-${number}`;
      const machine = await defineAndStart(this.#libvirtd, {
        name,
        displays: ["spice-tcp"],
        owner: { ...owner, name },
      });
      this.#uuids.push(machine.uuid);
    }
  }

  async #startProduct(): Promise<void> {
    const [api, agents, tunnel, proxy] = [
      await freeAddress(),
      await freeAddress(),
      await freeAddress(),
      await freeAddress(),
    ];
    this.#proxy = proxy;
    const controller = await controllerFiles(this.#folder, "controller", {
      api: { listen: api },
      agents: { listen: agents, tunnel_listen: tunnel },
      proxy: { listen: proxy },
      spice: { html5proxy_base_url: `http://${proxy}/console` },
      sessions: { max_per_instance: 0, max_per_caller: 0, max_per_controller: 0 },
      database: { url: await createProductDatabase(this.#postgres, "product") },
    });
    const agent = await productFiles(this.#folder, "agent", {
      agent: { host: "bench", controllers: [agents] },
      libvirt: { uri: this.#libvirtd.uri },
    });
    this.#programs.push(controllerProgram(controller), agentProgram(agent));
    for (const program of this.#programs) await program.start();
    await knowsAll(api, this.#uuids);
    this.#addresses = { ...this.#addresses, product: api };
  }

  async #startBare(): Promise<void> {
    const databaseUrl = await createProductDatabase(this.#postgres, "bare");
    const [port, echoPort] = [await freePort(), await freePort()];
    const bare = `127.0.0.1:${port}`;
    this.#bare.push(
      new BenchProcess<BareControllerOptions>("./bare/controller.js", { databaseUrl, port }),
      new BenchProcess<BareAgentOptions>("./bare/agent.js", { controller: bare, libvirtUri: this.#libvirtd.uri }),
      new BenchProcess<EchoOptions>("./bare/echo.js", { port: echoPort }),
    );
    for (const part of this.#bare) await part.start();
    this.#addresses = { ...this.#addresses, bare, echo: `127.0.0.1:${echoPort}` };
  }
}

async function knowsAll(api: string, uuids: readonly string[]): Promise<void> {
  const inventory = new InventoryServiceClient(api, credentials.createInsecure());
  const get = inventory.getInstance.bind(inventory);
  const known = async (): Promise<boolean> => {
    const results = await Promise.all(uuids.map((instanceUuid) => callUnary(get, { instanceUuid })));
    return results.every(({ ok }) => ok);
  };
  await waitUntil(known, { ms: KNOWN_MS, what: "the controller to know the machines" });
  inventory.close();
}
