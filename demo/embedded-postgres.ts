// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { chown, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Part } from "../src/lib/lifecycle.js";
import { ChildProgram } from "./child-program.js";
import { freePort } from "./ports.js";
import { copyPostgresBinaries } from "./postgres-binaries.js";
import { killProcessesOf, processesOf, sendSignal } from "./process-table.js";
import { createRunFolder, removeRunFolder } from "./run-folder.js";
import { makeFolderFor, serviceUser } from "./service-user.js";

/** What may be chosen. */
export interface EmbeddedPostgresOptions {
  /** A free one by default. */
  readonly port?: number;
  /** Where the server's log goes; by default into its own folder, which the stop removes. */
  readonly logFile?: string;
}

const INITDB_MS = 30_000;
const SUPERUSER = "postgres";

// For data that may be lost with the machine, but not with the process: nothing waits for a disk, yet a commit is
// written before it is answered. Memory that is shared by name lies in the server's own folder.
const SETTINGS = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  max_connections: "200",
  shared_buffers: "32MB",
  fsync: "off",
  full_page_writes: "off",
  dynamic_shared_memory_type: "mmap",
};

/**
 * A Postgres of our own on 127.0.0.1, from the binaries that npm brings; as root it runs as nobody. Only who knows
 * `url` gets in (a password made for each, since every user of the machine can reach the port). The first `start` makes
 * an empty cluster; after `kill` another `start` brings the same data back on the same port; `stop` removes everything
 * and is safe twice.
 */
export class EmbeddedPostgres implements Part {
  readonly #options: EmbeddedPostgresOptions;
  readonly #password = randomBytes(16).toString("hex");
  #folder: string | undefined;
  #port = 0;
  #server: ChildProgram | undefined;

  constructor(options: EmbeddedPostgresOptions = {}) {
    this.#options = options;
  }

  async start(): Promise<void> {
    this.#folder ??= await this.#createCluster();
    this.#server ??= await this.#createServer(this.#folder);
    await this.#server.start();
  }

  async stop(): Promise<void> {
    this.kill("SIGCONT");
    await this.#server?.stop();
    this.#server = undefined;
    if (this.#folder !== undefined) await removeRunFolder(this.#folder);
    this.#folder = undefined;
  }

  /** The URL of the database `postgres`, with the superuser's password. */
  get url(): string {
    return this.databaseUrl("postgres");
  }

  /** The URL of a database of that name, which need not exist yet. */
  databaseUrl(name: string): string {
    return `postgres://${SUPERUSER}:${this.#password}@127.0.0.1:${this.#port}/${encodeURIComponent(name)}`;
  }

  /** The port it listens on. */
  get port(): number {
    return this.#port;
  }

  /** The pid of the main server process. Throws when it does not run. */
  get pid(): number {
    return this.program.pid;
  }

  /** The main server process: its log, its end. Throws before the start and after the stop. */
  get program(): ChildProgram {
    if (!this.#server) throw new Error("postgres has not been started");
    return this.#server;
  }

  /**
   * Signals that cannot be handled (SIGKILL, SIGSTOP, SIGCONT) hit every process of the server, as when the machine
   * itself failed; others the main process, which passes them on.
   */
  kill(signal: NodeJS.Signals): void {
    this.#server?.kill(signal);
    if (this.#folder === undefined || !["SIGKILL", "SIGSTOP", "SIGCONT"].includes(signal)) return;
    for (const pid of processesOf(this.#folder)) sendSignal(pid, signal);
  }

  async #createCluster(): Promise<string> {
    const user = serviceUser();
    const folder = createRunFolder();
    try {
      await copyPostgresBinaries(join(folder, "postgres"), user);
      await makeFolderFor(user, join(folder, "home"));
      const passwordFile = join(folder, "home", "password");
      await writeFile(passwordFile, this.#password, { mode: 0o600 });
      if ("uid" in user) await chown(passwordFile, user.uid, user.gid);
      await this.#initdb(folder, passwordFile);
      return folder;
    } catch (error) {
      await removeRunFolder(folder);
      throw error;
    }
  }

  /** The data folder is made by initdb itself, as the user that must own it. */
  async #initdb(folder: string, passwordFile: string): Promise<void> {
    const user = serviceUser();
    await makeFolderFor(user, join(folder, "data"));
    const args = [`--pgdata=${join(folder, "data")}`, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`];
    args.push("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions");
    const home = join(folder, "home");
    const options = { ...user, cwd: home, env: { HOME: home }, timeout: INITDB_MS };
    await promisify(execFile)(join(folder, "postgres", "bin", "initdb"), args, options);
  }

  async #createServer(folder: string): Promise<ChildProgram> {
    this.#port = this.#options.port ?? (await freePort());
    const settings = Object.entries({ ...SETTINGS, port: String(this.#port) });
    const server: ChildProgram = new ChildProgram({
      name: "postgres",
      command: join(folder, "postgres", "bin", "postgres"),
      args: ["-D", join(folder, "data"), ...settings.flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      home: join(folder, "home"),
      logFile: this.#options.logFile ?? join(folder, "postgres.log"),
      user: serviceUser(),
      // Backends may outlive a killed server for a moment, and it does not start beside them.
      prepare: () => killProcessesOf(folder),
      ready: () => isReady(folder, server.pid),
      // "Fast" ends sessions and writes a checkpoint, "immediate" only leaves.
      stopSteps: [
        { signal: "SIGINT", ms: 3_000 },
        { signal: "SIGQUIT", ms: 1_000 },
      ],
    });
    return server;
  }
}

/** The server says so in the last line of its pid file; the first must be its own, not that of one that was killed. */
function isReady(folder: string, pid: number): boolean {
  const file = join(folder, "data", "postmaster.pid");
  if (!existsSync(file)) return false;
  const lines = readFileSync(file, "utf8").split("\n");
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
}
