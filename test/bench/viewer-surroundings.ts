// SPDX-License-Identifier: Apache-2.0
// The data path, each part a process of its own: a fake display that no QEMU could keep up with, controller and agent as
// shipped in front of it, and beside them two bare TCP relays in a row and Debian's websockify.
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { join } from "node:path";
import { ChildProgram } from "../../demo/child-program.js";
import { requestConsoles } from "../../demo/console-request.js";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { agentProgram, controllerProgram } from "../../demo/spicegate-programs.js";
import { migrate } from "../../src/db/migrate.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { silentLog } from "../../src/lib/log.js";
import { writeTestHost } from "../fakes/fake-display.js";
import type { DisplayCounts, DisplayOptions } from "./bare/display.js";
import type { RelayOptions } from "./bare/relay.js";
import { BenchProcess } from "./bench-process.js";
import { freeAddress, homeIn, productFiles, controllerFiles } from "./product-files.js";
import type { ViewerTarget } from "./viewer-load.js";
import { tokenOf } from "../harness/viewer.js";

/** The product's ways, each a controller of its own; what its settings have beyond the others'. */
const PRODUCT_SETTINGS = {
  tunnel: {},
  direct: { displays: { data_path: "direct" } },
} as const satisfies Record<string, object>;

/** A way of the product's to the display. */
export type ProductWay = keyof typeof PRODUCT_SETTINGS;

/** The ways to the display that are compared. */
export type Way = ProductWay | "two relays" | "websockify";

interface ProductController {
  readonly program: ChildProgram;
  readonly api: string;
  readonly agents: string;
  readonly proxy: string;
}

/** All of it. `start` returns when channels can be opened; `stop` ends everything, and is safe twice. */
export class ViewerSurroundings implements Part {
  readonly #folder = createRunFolder();
  readonly #postgres = new EmbeddedPostgres();
  readonly #machine = { uuid: randomUUID(), name: "bench-display" };
  readonly #parts: Part[] = [];
  #display: BenchProcess<DisplayOptions> | undefined;
  readonly #controllers = new Map<Way, ProductController>();
  #agent: ChildProgram | undefined;
  #relayPort = 0;
  #websockifyPort = 0;

  /** The pids of a way's controller and of the agent. */
  pids(way: ProductWay): readonly number[] {
    return [this.#controller(way).program.pid, ...(this.#agent ? [this.#agent.pid] : [])];
  }

  async start(): Promise<void> {
    const port = await freePort();
    this.#display = await this.#started(new BenchProcess<DisplayOptions>("./bare/display.js", { port }));
    const inner = await freePort();
    this.#relayPort = await freePort();
    await this.#started(relay({ port: inner, targetPort: port }));
    await this.#started(relay({ port: this.#relayPort, targetPort: inner }));
    await this.#startWebsockify(port);
    await this.#postgres.start();
    await migrate({ url: this.#postgres.url }, silentLog);
    await this.#startProduct(writeTestHost(join(this.#folder, "host.xml"), port, [this.#machine]));
  }

  async stop(): Promise<void> {
    for (const part of this.#parts.toReversed()) await part.stop();
    await this.#postgres.stop();
    await removeRunFolder(this.#folder);
  }

  /** What the display has seen so far. */
  async counts(): Promise<DisplayCounts> {
    return (await this.#display?.ask({})) as DisplayCounts;
  }

  /** Where a way begins; through the product with tokens for so many sessions. */
  async target(way: Way, sessions = 1): Promise<ViewerTarget> {
    if (way === "two relays") return { kind: "tcp", ports: [this.#relayPort] };
    if (way === "websockify") return { kind: "websocket", url: `ws://127.0.0.1:${this.#websockifyPort}/` };
    const { api, proxy } = this.#controller(way);
    return { kind: "session", proxy, tokens: await this.#tokens(api, sessions) };
  }

  #controller(way: ProductWay): ProductController {
    const controller = this.#controllers.get(way);
    if (!controller) throw new Error("not started");
    return controller;
  }

  async #tokens(api: string, count: number): Promise<string[]> {
    const urls = await requestConsoles(
      { grpc: api, ca: null, token: "" },
      Array<string>(count).fill(this.#machine.uuid),
    );
    return urls.map(tokenOf);
  }

  async #started<P extends Part>(part: P): Promise<P> {
    this.#parts.push(part);
    await part.start();
    return part;
  }

  async #startWebsockify(displayPort: number): Promise<void> {
    this.#websockifyPort = await freePort();
    const listen = `127.0.0.1:${this.#websockifyPort}`;
    const program = new ChildProgram({
      name: "websockify",
      command: "/usr/bin/websockify",
      args: [listen, `127.0.0.1:${displayPort}`],
      home: homeIn(this.#folder),
      logFile: join(this.#folder, "websockify.log"),
      ready: () => accepts(this.#websockifyPort),
    });
    await this.#started(program);
  }

  async #startProduct(libvirtUri: string): Promise<void> {
    for (const [way, settings] of Object.entries(PRODUCT_SETTINGS)) {
      this.#controllers.set(way as ProductWay, await this.#startController(way, settings));
    }
    const controllers = [...this.#controllers.values()].map(({ agents }) => agents);
    const files = await productFiles(this.#folder, "agent", {
      agent: { host: "bench", controllers },
      libvirt: { uri: libvirtUri },
    });
    this.#agent = await this.#started(agentProgram(files));
  }

  async #startController(name: string, settings: object): Promise<ProductController> {
    const [api, agents, proxy] = [await freeAddress(), await freeAddress(), await freeAddress()];
    const files = await controllerFiles(this.#folder, `controller-${name}`, {
      api: { listen: api },
      agents: { listen: agents, tunnel_listen: await freeAddress() },
      proxy: { listen: proxy, drain_seconds: 0 },
      spice: { html5proxy_base_url: `http://${proxy}/console` },
      sessions: { max_per_instance: 0, max_per_caller: 0, max_per_controller: 0 },
      database: { url: this.#postgres.url },
      ...settings,
    });
    const program = await this.#started(controllerProgram(files));
    return { program, api, agents, proxy };
  }
}

function relay(options: RelayOptions): BenchProcess<RelayOptions> {
  return new BenchProcess<RelayOptions>("./bare/relay.js", options);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
