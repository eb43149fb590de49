// SPDX-License-Identifier: Apache-2.0
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Part } from "../src/lib/lifecycle.js";
import type { ChildProgram } from "./child-program.js";
import { requestConsoles } from "./console-request.js";
import type { DemoFolder } from "./demo-folder.js";
import type { DemoMachine, DisplayKind } from "./demo-machine.js";
import { defineAndStart } from "./demo-machine.js";
import { EmbeddedPostgres } from "./embedded-postgres.js";
import { freePort, portNear } from "./ports.js";
import { PrivateLibvirtd } from "./private-libvirtd.js";
import type { Progress } from "./progress.js";
import { createRunFolder, removeRunFolder } from "./run-folder.js";
import { agentProgram, controllerProgram, migrate } from "./spicegate-programs.js";

/** A machine of the demo and a console of it. */
export interface DemoInstance {
  readonly uuid: string;
  readonly name: string;
  /** Opens the console once; a secret. */
  readonly url: string;
}

/** What a running demo offers, as `.demo/state.json` says it. */
export interface DemoState {
  /** The address of the gRPC API. */
  readonly grpc: string;
  /** The endpoint of the REST API for clients of Nova. */
  readonly rest: string;
  /** The file of the API's CA, or null for plain text. */
  readonly ca: string | null;
  /** The caller's bearer token; never a console token. */
  readonly token: string;
  /** The host that the machines run on, as the agent calls it. */
  readonly host: string;
  readonly instances: readonly DemoInstance[];
  /** The first instance's URL. */
  readonly url: string;
}

/** How a demo runs. */
export interface DemoOptions {
  readonly folder: DemoFolder;
  readonly progress: Progress;
  /** Whether to leave the usual ports alone. */
  readonly freePorts: boolean;
}

/** Where the demo's programs listen. */
interface Listen {
  readonly api: string;
  readonly agents: string;
  readonly tunnel: string;
  readonly proxy: string;
  readonly gateway: string;
  readonly controllerTelemetry: string;
  readonly agentTelemetry: string;
}

// One machine without any port, reached through libvirt alone, and one as they usually are.
const MACHINES: readonly { readonly name: string; readonly display: DisplayKind }[] = [
  { name: "demo-no-port", display: "spice-none" },
  { name: "demo-tcp", display: "spice-tcp" },
];
const OWNER = { project: "demo", user: "demo" };

/**
 * All of spicegate on one computer: a libvirtd with two machines, a Postgres, a controller and an agent, each a real
 * process. `start` returns when consoles can be had, and `state` says where. `stop` ends everything in reverse order,
 * also a start that is under way, and is safe twice.
 */
export class Demo implements Part {
  readonly #options: DemoOptions;
  readonly #libvirtd: PrivateLibvirtd;
  readonly #postgres: EmbeddedPostgres;
  readonly #programs: ChildProgram[] = [];
  #runFolder: string | undefined;
  #starting: Promise<DemoState> | undefined;
  #stopping: Promise<void> | undefined;
  #state: DemoState | undefined;

  constructor(options: DemoOptions) {
    const { folder, progress } = options;
    this.#options = options;
    this.#libvirtd = new PrivateLibvirtd({ logFile: folder.file("libvirtd.log"), progress });
    this.#postgres = new EmbeddedPostgres({ logFile: folder.file("postgres.log") });
  }

  /** What it offers. Throws before the start is over. */
  get state(): DemoState {
    if (!this.#state) throw new Error("the demo has not started");
    return this.#state;
  }

  async start(): Promise<void> {
    this.#starting = this.#startAll();
    this.#state = await this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  /** Waits until one of its processes ends, and says which, how, and its last words. Ask after the start. */
  async firstEnd(): Promise<string> {
    const all = [this.#libvirtd.program, this.#postgres.program, ...this.#programs];
    return Promise.race(
      all.map(async (program) => {
        const how = await program.ended;
        return `${program.name} ended (${how}); its log is ${program.logFile}:\n${program.lastLogLines()}`;
      }),
    );
  }

  async #startAll(): Promise<DemoState> {
    const { folder, progress } = this.#options;
    progress("starting libvirt with two machines, and Postgres");
    const [machines] = await bothOrNeither(this.#startMachines(), this.#startPostgres());
    const listen = await this.#chooseListen();
    const host = hostname();
    await this.#startPrograms(listen, host);
    progress("asking for consoles");
    const uuids = machines.map(({ uuid }) => uuid);
    const urls = await requestConsoles(listen.api, uuids);
    const instances = machines.map(({ uuid, name }, index) => ({ uuid, name, url: urls[index] ?? "" }));
    const rest = `http://${listen.gateway}/v2.1`;
    const state = { grpc: listen.api, rest, ca: null, token: "demo", host, instances, url: urls[0] ?? "" };
    folder.write("state.json", `${JSON.stringify(state)}\n`);
    return state;
  }

  async #startMachines(): Promise<DemoMachine[]> {
    await this.#libvirtd.start();
    const machines: DemoMachine[] = [];
    for (const { name, display } of MACHINES) {
      this.#goOn();
      machines.push(await defineAndStart(this.#libvirtd, { name, displays: [display], owner: { ...OWNER, name } }));
    }
    const how = this.#libvirtd.kvm ? "with KVM" : "emulated, since KVM cannot be used here";
    this.#options.progress(`machines run, ${how}`);
    return machines;
  }

  async #startPostgres(): Promise<void> {
    await this.#postgres.start();
    this.#options.progress(`Postgres listens on port ${this.#postgres.port}`);
  }

  async #chooseListen(): Promise<Listen> {
    const choose = async (usual: number): Promise<string> =>
      `127.0.0.1:${this.#options.freePorts ? await freePort() : await portNear(usual)}`;
    return {
      api: await choose(50_051),
      agents: await choose(50_052),
      tunnel: await choose(50_053),
      proxy: await choose(6_082),
      gateway: await choose(8_774),
      controllerTelemetry: await choose(9_464),
      agentTelemetry: await choose(9_465),
    };
  }

  async #startPrograms(listen: Listen, host: string): Promise<void> {
    const { folder, progress } = this.#options;
    this.#runFolder = createRunFolder();
    const home = join(this.#runFolder, "home");
    await mkdir(home);
    const controllerConfig = folder.write("controller.yaml", stringify(this.#controllerSettings(listen)));
    const agentConfig = folder.write("agent.yaml", stringify(this.#agentSettings(listen, host)));
    this.#goOn();
    await migrate(controllerConfig, folder.file("migrate.log"));
    progress("the database has its tables");
    await this.#startProgram(
      controllerProgram({
        home,
        configFile: controllerConfig,
        logFile: folder.file("controller.log"),
        telemetry: listen.controllerTelemetry,
      }),
    );
    await this.#startProgram(
      agentProgram({
        home,
        configFile: agentConfig,
        logFile: folder.file("agent.log"),
        telemetry: listen.agentTelemetry,
      }),
    );
  }

  async #startProgram(program: ChildProgram): Promise<void> {
    this.#goOn();
    this.#programs.push(program);
    await program.start();
    this.#options.progress(`the ${program.name} is ready (pid ${program.pid}, log ${program.logFile})`);
  }

  #controllerSettings(listen: Listen): object {
    return {
      api: { listen: listen.api },
      agents: { listen: listen.agents, tunnel_listen: listen.tunnel },
      proxy: { listen: listen.proxy },
      gateway: { listen: listen.gateway },
      spice: { html5proxy_base_url: `http://${listen.proxy}/console` },
      telemetry: { listen: listen.controllerTelemetry },
      database: { url: this.#postgres.url },
      identity: { trust_loopback: true },
    };
  }

  #agentSettings(listen: Listen, host: string): object {
    return {
      agent: { host, controllers: [listen.agents] },
      libvirt: { uri: this.#libvirtd.uri },
      telemetry: { listen: listen.agentTelemetry },
    };
  }

  /** Between two steps of the start: throws once a stop has been asked for. */
  #goOn(): void {
    if (this.#stopping) throw new Error("stopped while it was starting");
  }

  async #stopAll(): Promise<void> {
    // Whatever the start is still making has to be there before it can be removed.
    await this.#starting?.catch(() => undefined);
    const steps = [
      ...this.#programs.toReversed().map((program) => () => program.stop()),
      () => this.#postgres.stop(),
      () => this.#libvirtd.stop(),
      () => this.#removeRunFolder(),
    ];
    const failures: unknown[] = [];
    for (const step of steps) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, "the demo did not stop cleanly");
  }

  async #removeRunFolder(): Promise<void> {
    if (this.#runFolder !== undefined) await removeRunFolder(this.#runFolder);
  }
}

/** Waits for both, also when one fails, so that nothing goes on behind the back of the stop that follows. */
async function bothOrNeither<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}
