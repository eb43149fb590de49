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
import { freeAddress, homeIn, productFiles } from "./product-files.js";
import type { ViewerTarget } from "./viewer-load.js";
import { tokenOf } from "../harness/viewer.js";

/** The ways to the display that are compared. */
export type Way = "tunnel" | "two relays" | "websockify";

/** All of it. `start` returns when channels can be opened; `stop` ends everything, and is safe twice. */
export class ViewerSurroundings implements Part {
  readonly #folder = createRunFolder();
  readonly #postgres = new EmbeddedPostgres();
  readonly #machine = { uuid: randomUUID(), name: "bench-display" };
  readonly #parts: Part[] = [];
  #display: BenchProcess<DisplayOptions> | undefined;
  #programs: readonly ChildProgram[] = [];
  #api = "";
  #proxy = "";
  #relayPort = 0;
  #websockifyPort = 0;

  /** The pids of controller and agent. */
  get pids(): readonly number[] {
    return this.#programs.map(({ pid }) => pid);
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
    switch (way) {
      case "tunnel":
        return { kind: "session", proxy: this.#proxy, tokens: await this.#tokens(sessions) };
      case "two relays":
        return { kind: "tcp", ports: [this.#relayPort] };
      case "websockify":
        return { kind: "websocket", url: `ws://127.0.0.1:${this.#websockifyPort}/` };
    }
  }

  async #tokens(count: number): Promise<string[]> {
    const urls = await requestConsoles(this.#api, Array<string>(count).fill(this.#machine.uuid));
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
    const [agents, tunnel] = [await freeAddress(), await freeAddress()];
    this.#api = await freeAddress();
    this.#proxy = await freeAddress();
    const controller = controllerProgram(
      await productFiles(this.#folder, "controller", {
        api: { listen: this.#api },
        agents: { listen: agents, tunnel_listen: tunnel },
        proxy: { listen: this.#proxy, drain_seconds: 0 },
        spice: { html5proxy_base_url: `http://${this.#proxy}/console` },
        database: { url: this.#postgres.url },
      }),
    );
    const agent = agentProgram(
      await productFiles(this.#folder, "agent", {
        agent: { host: "bench", controllers: [agents] },
        libvirt: { uri: libvirtUri },
      }),
    );
    this.#programs = [await this.#started(controller), await this.#started(agent)];
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
