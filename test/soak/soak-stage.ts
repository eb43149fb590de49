// SPDX-License-Identifier: Apache-2.0
// Two controllers over one Postgres, and their hosts. One controller and one agent are never killed, so that what they
// leak can be seen; the others are there to be.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { ChildProgram } from "../../demo/child-program.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { freePort } from "../../demo/ports.js";
import { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import type { Progress } from "../../demo/progress.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import type { SpicegateProgramOptions } from "../../demo/spicegate-programs.js";
import { agentProgram, controllerProgram } from "../../demo/spicegate-programs.js";
import { migrate } from "../../src/db/migrate.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { silentLog } from "../../src/lib/log.js";
import type { DisplayOptions } from "../bench/bare/display.js";
import { BenchProcess } from "../bench/bench-process.js";
import { Fleet } from "../bench/fleet.js";
import { freeAddress, productFiles } from "../bench/product-files.js";
import { writeTestHost } from "../fakes/fake-display.js";
import { simulatedUuid } from "../harness/simulated-hosts.js";

/** One of our programs as a process. */
export interface SoakProgram {
  readonly name: string;
  readonly program: ChildProgram;
  readonly telemetry: string;
  /** Where Node's inspector listens. */
  readonly inspector: string;
}

/** A controller with its addresses. */
export interface SoakController extends SoakProgram {
  readonly api: string;
  readonly proxy: string;
}

/** A machine that consoles are asked for. */
export interface SoakMachine {
  readonly uuid: string;
  /** Whether QEMU serves its display; else a display without a machine does. */
  readonly real: boolean;
}

type SoakFiles = SpicegateProgramOptions & { readonly inspector: string };

const REAL_MACHINES = 3;
const FAKE_MACHINES = 8;
const HOSTS = { count: 24, processes: 2, domainsEach: 3 };
/** Short lives, so that what should end ends while one looks. */
const SETTINGS = { consoleauth: { token_ttl: 15 }, sessions: { rejoin_time: 10 }, log: { level: "warn" } };

/** A controller waits for its hosts before it says so, and the machine is busy. */
const READY_MS = 60_000;

/** Everything that is soaked. `start` returns when all of it runs; `stop` is safe twice. */
export class SoakStage implements Part {
  readonly postgres = new EmbeddedPostgres();
  readonly libvirtd: PrivateLibvirtd;
  readonly #progress: Progress;
  readonly #folder = createRunFolder();
  readonly #parts: Part[] = [];
  readonly #machines: SoakMachine[] = [];
  readonly #controllers: SoakController[] = [];
  readonly #agents: SoakProgram[] = [];
  #fleet: Fleet | undefined;

  constructor(progress: Progress) {
    this.#progress = progress;
    this.libvirtd = new PrivateLibvirtd({ progress, emulated: true });
  }

  /** The first one is never killed. */
  get controllers(): readonly SoakController[] {
    return this.#controllers;
  }

  /** The first one, over libvirt and QEMU, is never killed. */
  get agents(): readonly SoakProgram[] {
    return this.#agents;
  }

  get machines(): readonly SoakMachine[] {
    return this.#machines;
  }

  /** How many agents each controller has when all is well. */
  get hosts(): number {
    return this.#agents.length + HOSTS.count;
  }

  async start(): Promise<void> {
    this.#progress("starting libvirt with machines, and Postgres");
    await Promise.all([this.#startMachines(), this.postgres.start()]);
    await migrate({ url: this.postgres.url }, silentLog);
    this.#progress("starting controllers, agents and simulated hosts");
    const display = await freePort();
    await this.#started(new BenchProcess<DisplayOptions>("./bare/display.js", { port: display }));
    const agentListeners = [await this.#startController("steady"), await this.#startController("mortal")];
    await this.#startAgent("steady", agentListeners, this.libvirtd.uri);
    await this.#startAgent("mortal", agentListeners, this.#testHost(display));
    this.#fleet = new Fleet({ ...HOSTS, controllers: agentListeners, displayPort: display });
    this.#parts.push(this.#fleet);
    await this.startFleet();
    for (let host = 0; host < HOSTS.count; host += 1) this.#machines.push({ uuid: simulatedUuid(host), real: false });
  }

  /** Starts the simulated hosts, again where they were killed. */
  async startFleet(): Promise<void> {
    await this.#fleet?.start();
    await this.#fleet?.growTo(HOSTS.count);
  }

  /** Kills all simulated hosts at once. */
  async killFleet(): Promise<void> {
    await this.#fleet?.stop();
  }

  async stop(): Promise<void> {
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.postgres.stop();
    await this.libvirtd.stop();
    await removeRunFolder(this.#folder);
  }

  async #startMachines(): Promise<void> {
    await this.libvirtd.start();
    for (let number = 1; number <= REAL_MACHINES; number += 1) {
      const { uuid } = await defineAndStart(this.libvirtd, { name: `soak-${number}`, displays: ["spice-tcp"] });
      this.#machines.push({ uuid, real: true });
    }
  }

  #testHost(display: number): string {
    const machines = Array.from({ length: FAKE_MACHINES }, (_, index) => ({
      uuid: randomUUID(),
      name: `soak-fake-${index}`,
    }));
    for (const { uuid } of machines) this.#machines.push({ uuid, real: false });
    return writeTestHost(join(this.#folder, "host.xml"), display, machines);
  }

  /** Returns where agents reach it. */
  async #startController(name: string): Promise<string> {
    const [api, agents, proxy] = [await freeAddress(), await freeAddress(), await freeAddress()];
    const files = await this.#files(`controller-${name}`, {
      api: { listen: api },
      agents: { listen: agents, tunnel_listen: await freeAddress() },
      proxy: { listen: proxy, drain_seconds: 2 },
      spice: { html5proxy_base_url: `http://${proxy}/console` },
      database: { url: this.postgres.url },
      identity: { trust_loopback: true },
      limits: { requests_per_caller: 0 },
    });
    const program = await this.#started(controllerProgram(files));
    const { telemetry, inspector } = files;
    this.#controllers.push({ name: `controller ${name}`, program, telemetry, inspector, api, proxy });
    return agents;
  }

  async #startAgent(name: string, controllers: readonly string[], libvirtUri: string): Promise<void> {
    const files = await this.#files(`agent-${name}`, {
      agent: { host: `soak-${name}`, controllers },
      libvirt: { uri: libvirtUri },
    });
    const program = await this.#started(agentProgram(files));
    const { telemetry, inspector } = files;
    this.#agents.push({ name: `agent ${name}`, program, telemetry, inspector });
  }

  async #files(name: string, settings: object): Promise<SoakFiles> {
    const own = name.startsWith("controller") ? SETTINGS : { log: SETTINGS.log };
    const files = await productFiles(this.#folder, name, { ...own, ...settings });
    return { ...files, inspector: await freeAddress(), readyMs: READY_MS };
  }

  async #started<P extends Part>(part: P): Promise<P> {
    this.#parts.push(part);
    await part.start();
    return part;
  }
}
