// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { withDeadline } from "../../src/lib/deadline.js";

const ANSWER_MS = 5_000;

/** A real memcached of a test's own on 127.0.0.1. After `kill` it can be started again, and has forgotten everything. */
export class Memcached implements Part {
  readonly address: string;
  readonly program: ChildProgram;
  readonly #folder = createRunFolder();
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
    this.address = `127.0.0.1:${port}`;
    const home = join(this.#folder, "home");
    mkdirSync(home);
    this.program = new ChildProgram({
      name: "memcached",
      command: "memcached",
      // Root has it become somebody else; to others the option means nothing.
      args: ["-l", "127.0.0.1", "-p", String(port), "-U", "0", "-u", "nobody", "-m", "16"],
      home,
      logFile: join(this.#folder, "memcached.log"),
      ready: () =>
        this.#ask("version", "\r\n").then(
          () => true,
          () => false,
        ),
    });
  }

  static async create(): Promise<Memcached> {
    return new Memcached(await freePort());
  }

  start(): Promise<void> {
    return this.program.start();
  }

  async stop(): Promise<void> {
    await this.program.stop();
    await removeRunFolder(this.#folder);
  }

  /** Every key with its value. */
  async dump(): Promise<ReadonlyMap<string, string>> {
    const listed = await this.#ask("lru_crawler metadump all", "END\r\n");
    const keys = Array.from(listed.matchAll(/^key=(\S+)/gm), ([, key = ""]) => decodeURIComponent(key));
    const values = await Promise.all(keys.map((key) => this.#ask(`get ${key}`, "END\r\n")));
    return new Map(keys.map((key, index) => [key, values[index]?.split("\r\n")[1] ?? ""]));
  }

  /** How many commands it has taken. */
  async commands(): Promise<number> {
    const stats = await this.#ask("stats", "END\r\n");
    const counts = stats.matchAll(/^STAT cmd_(?:get|set|touch|meta) (\d+)/gm);
    return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
  }

  #ask(command: string, end: string): Promise<string> {
    const expired = (): Error => new Error(`memcached did not answer ${command}`);
    return withDeadline({ ms: ANSWER_MS, expired }, async (signal) => {
      const socket = connect({ port: this.#port, host: "127.0.0.1", signal });
      try {
        socket.setEncoding("utf8").write(`${command}\r\n`);
        let answer = "";
        for await (const text of socket) if ((answer += String(text)).endsWith(end)) return answer;
        throw new Error("memcached closed the connection");
      } finally {
        socket.destroy();
      }
    });
  }
}
