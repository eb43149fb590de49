// SPDX-License-Identifier: Apache-2.0
// A whole spicegate for a scenario: a controller and an agent as real processes over a database of their own. Whatever
// is secret in a scenario is looked for in the logs and the database when it stops: none of it may be there.
import { credentials } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import type { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import type { SpicegateProgramOptions } from "../../demo/spicegate-programs.js";
import { agentProgram, consoleAuthProgram, controllerProgram } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { AuditServiceClient } from "../../proto/gen/spicegate/audit/v1/audit.js";
import type { GetSpiceConsoleResponse } from "../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { InventoryServiceClient } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { Session } from "../../proto/gen/spicegate/session/v1/session.js";
import { SessionServiceClient } from "../../proto/gen/spicegate/session/v1/session.js";
import type { TlsChannel } from "../../src/lib/tls-channel.js";
import { tlsChannel } from "../../src/lib/tls-channel.js";
import { dumpDatabase } from "./database-dump.js";
import type { CallOptions, CallResult } from "./grpc-client.js";
import { callUnary } from "./grpc-client.js";
import type { RestAnswer } from "./rest-client.js";
import { RestClient } from "./rest-client.js";
import { createDatabase, runStatement } from "./test-database.js";
import { tokenOf, Viewer } from "./viewer.js";

/** Settings by section, laid over the harness' own. */
export type Settings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** What a deployment is made from. */
export interface DeploymentOptions {
  /** A migrated database; by default a new one on the shared server. */
  readonly databaseUrl?: string;
  /** The agent's libvirt; without one no agent is started. */
  readonly libvirtUri?: string;
  readonly host?: string;
  readonly controller?: Settings;
  readonly agent?: Settings;
  /** The authority (PEM) by which clients know an API that speaks TLS. */
  readonly apiAuthority?: string;
  /** Most memory for the long-lived objects of each program, in MiB. */
  readonly heapMiB?: number;
}

/** A parsed line of a program's log. */
export type LogEntry = Readonly<Record<string, unknown>>;

const HOST = "host-1";
const PORTS = 7;

/** A running controller with its agent. */
export class Deployment {
  readonly folder: string;
  readonly databaseUrl: string;
  /** The controller's settings file. */
  readonly controllerConfig: string;
  /** The addresses of the controller's listeners. */
  readonly api: string;
  readonly agents: string;
  readonly tunnel: string;
  readonly proxy: string;
  readonly telemetry: string;
  readonly gateway: string;
  readonly host: string;
  /** Nova's API; the tokens of the consoles that it issues are remembered as those of `getConsole` are. */
  readonly rest: RestClient;
  readonly console: ConsoleServiceClient;
  readonly inventory: InventoryServiceClient;
  readonly session: SessionServiceClient;
  readonly audit: AuditServiceClient;
  readonly controller: ChildProgram;
  /** The agent on `host`, where the deployment has one. */
  readonly agent: ChildProgram | undefined;
  readonly #tokens = new Set<string>();
  readonly #programs: ChildProgram[] = [];
  readonly #heapMiB: number | undefined;

  private constructor(folder: string, databaseUrl: string, ports: readonly number[], options: DeploymentOptions) {
    const [api = 0, agents = 0, telemetry = 0, agentTelemetry = 0, tunnel = 0, proxy = 0, gateway = 0] = ports;
    this.folder = folder;
    this.controllerConfig = join(folder, "controller.yaml");
    this.databaseUrl = databaseUrl;
    this.api = `127.0.0.1:${api}`;
    this.agents = `127.0.0.1:${agents}`;
    this.tunnel = `127.0.0.1:${tunnel}`;
    this.proxy = `127.0.0.1:${proxy}`;
    this.telemetry = `127.0.0.1:${telemetry}`;
    this.gateway = `127.0.0.1:${gateway}`;
    this.host = options.host ?? HOST;
    this.#heapMiB = options.heapMiB;
    this.rest = new RestClient(this.gateway, (answer) => this.#rememberTokens(answer));
    const channel = channelWith(options.apiAuthority);
    this.console = new ConsoleServiceClient(this.api, channel.credentials, channel.options);
    this.inventory = new InventoryServiceClient(this.api, channel.credentials, channel.options);
    this.session = new SessionServiceClient(this.api, channel.credentials, channel.options);
    this.audit = new AuditServiceClient(this.api, channel.credentials, channel.options);
    this.controller = this.#createController(options.controller);
    this.agent =
      options.libvirtUri === undefined
        ? undefined
        : this.addAgent(this.host, options.libvirtUri, `127.0.0.1:${agentTelemetry}`, options.agent);
  }

  /** A deployment of which nothing has been started. */
  static async create(options: DeploymentOptions = {}): Promise<Deployment> {
    const databaseUrl = options.databaseUrl ?? (await createDatabase());
    const ports: number[] = [];
    while (ports.length < PORTS) ports.push(await freePort());
    return new Deployment(createRunFolder(), databaseUrl, ports, options);
  }

  /** Starts a controller and, where `libvirtUri` is given, an agent; returns when both are ready. */
  static async start(options: DeploymentOptions = {}): Promise<Deployment> {
    const deployment = await Deployment.create(options);
    try {
      await deployment.controller.start();
      await deployment.agent?.start();
      return deployment;
    } catch (error) {
      await deployment.stop();
      throw error;
    }
  }

  /** Another agent of this controller, not started. */
  addAgent(host: string, libvirtUri: string, telemetry: string, overrides: Settings = {}): ChildProgram {
    const settings = {
      agent: { host, controllers: [this.agents] },
      libvirt: { uri: libvirtUri },
      telemetry: { listen: telemetry },
      log: { level: "debug" },
    };
    const name = `agent-${this.#programs.length}`;
    return this.#add(agentProgram(this.#files(name, telemetry, withSettings(settings, overrides))));
  }

  /** `spicegate consoleauth` with the controller's settings, not started; `telemetry` is its consoleauth.telemetry_listen. */
  addConsoleAuth(telemetry: string): ChildProgram {
    const home = join(this.folder, "home");
    const logFile = join(this.folder, "consoleauth.log");
    return this.#add(consoleAuthProgram({ home, configFile: this.controllerConfig, logFile, telemetry }));
  }

  /** Asks for a console and remembers its token, which must then be nowhere else. */
  async getConsole(
    instanceUuid: string,
    options: CallOptions & { readonly consoleType?: string | undefined } = {},
  ): Promise<CallResult<GetSpiceConsoleResponse>> {
    const request = { instanceUuid, consoleType: options.consoleType ?? "" };
    const result = await callUnary(this.console.getSpiceConsole.bind(this.console), request, options);
    if (result.ok) this.#tokens.add(tokenOf(result.response.url));
    return result;
  }

  /** Opens a console of the instance, as far as a cookie; its proof must then be nowhere in plain either. */
  async openConsole(instanceUuid: string): Promise<Viewer> {
    const result = await this.getConsole(instanceUuid);
    if (!result.ok) throw new Error(result.failure.message);
    const viewer = await Viewer.open(this.proxy, tokenOf(result.response.url));
    this.#tokens.add(viewer.proof);
    return viewer;
  }

  /** The session as the API tells it. */
  async sessionOf(viewer: Viewer): Promise<Session> {
    const get = this.session.getSession.bind(this.session);
    const result = await callUnary(get, { sessionId: viewer.sessionId });
    if (!result.ok) throw new Error(`${result.failure.reason}: ${result.failure.message}`);
    if (!result.response.session) throw new Error("the session is missing in the answer");
    return result.response.session;
  }

  /** Waits until the API tells of the session what is asked for. */
  async sessionShows(
    viewer: Viewer,
    shows: (session: Session) => boolean,
    what: string,
    ms = 10_000,
  ): Promise<Session> {
    let session = await this.sessionOf(viewer);
    const check = async (): Promise<boolean> => shows((session = await this.sessionOf(viewer)));
    await waitUntil(check, { ms, what });
    return session;
  }

  /** Waits until the controller's API answers that it knows the instance. */
  async knows(instanceUuid: string, ms = 10_000): Promise<void> {
    const get = this.inventory.getInstance.bind(this.inventory);
    const known = async (): Promise<boolean> => (await callUnary(get, { instanceUuid })).ok;
    await waitUntil(known, { ms, what: `the controller to know ${instanceUuid}` });
  }

  /** Waits until the controller issues consoles of the instance: the agent of its host has found this controller too. */
  async issuesConsolesOf(instanceUuid: string, ms = 15_000): Promise<void> {
    const issues = async (): Promise<boolean> => (await this.getConsole(instanceUuid)).ok;
    await waitUntil(issues, { ms, what: `consoles of ${instanceUuid}` });
  }

  /** The controller was killed: lets a minute pass for what it has left behind, so that its last heartbeat counts no more. */
  async expireLease(): Promise<void> {
    const age = `
      with dead as (
        update controllers set heartbeat_at = heartbeat_at - interval '1 minute' where advertise = $1 returning *
      )
      update session_channels c set opened_at = opened_at - interval '1 minute'
      from dead where c.controller_id = dead.controller_id`;
    await runStatement(this.databaseUrl, age, [this.agents]);
  }

  /** Everything that the programs have logged. */
  logs(): string {
    const files = this.#programs.map(({ logFile }) => logFile);
    return files.map((file) => (existsSync(file) ? readFileSync(file, "utf8") : "")).join("");
  }

  /** The controller's log, a parsed entry a line. */
  controllerLog(): LogEntry[] {
    return entriesOf(this.controller.logFile);
  }

  /** The agent's, likewise. */
  agentLog(): LogEntry[] {
    return this.agent ? entriesOf(this.agent.logFile) : [];
  }

  /** Waits for an entry with these fields in the controller's log. */
  async logged(fields: Readonly<Record<string, unknown>>, ms = 10_000): Promise<LogEntry> {
    let found: LogEntry | undefined;
    const find = (): boolean => {
      const wanted = Object.entries(fields);
      found = this.controllerLog().find((entry) => wanted.every(([name, value]) => entry[name] === value));
      return found !== undefined;
    };
    await waitUntil(find, { ms, what: `the controller to log ${JSON.stringify(fields)}` });
    return found ?? {};
  }

  /** The value of a metric of the controller, by its full sample name (labels included); 0 where there is none. */
  async metric(sample: string): Promise<number> {
    const response = await fetch(`http://${this.telemetry}/metrics`);
    const lines = (await response.text()).split("\n");
    return Number(lines.find((line) => line.startsWith(`${sample} `))?.slice(sample.length + 1) ?? 0);
  }

  /**
   * Stops the programs, and fails where a console token, a cookie's proof or a tunnel's secret stands in a log or in the
   * database. Twice is harmless.
   */
  async stop(): Promise<void> {
    this.console.close();
    this.inventory.close();
    this.session.close();
    this.audit.close();
    try {
      for (const program of [...this.#programs].reverse()) await program.stop();
      await this.#assertNoSecrets();
    } finally {
      await removeRunFolder(this.folder);
    }
  }

  #rememberTokens({ text }: RestAnswer): void {
    for (const [, token] of text.matchAll(URL_TOKEN)) if (token !== undefined) this.#tokens.add(token);
  }

  async #assertNoSecrets(): Promise<void> {
    const places = { logs: this.logs(), database: await dumpDatabase(this.databaseUrl).catch(() => "") };
    const hashes = new Set(places.database.match(SHA_256));
    for (const [place, text] of Object.entries(places)) {
      // Other clients' tokens are not known here, but their hashes are; of a tunnel's secret nothing is kept but its looks.
      const isSecret = (word: string): boolean =>
        this.#tokens.has(word) || hashes.has(hashOf(word)) || looksRandom(word);
      if ((text.match(TOKEN) ?? []).some(isSecret)) throw new Error(`a secret stands in plain in the ${place}`);
    }
    this.#tokens.clear();
  }

  #createController(overrides: Settings = {}): ChildProgram {
    const page = overrides["console"]?.["compat_tokens"] === true ? "spice_auto.html" : "console";
    const scheme = overrides["proxy"]?.["cert"] === undefined ? "http" : "https";
    const settings = {
      api: { listen: this.api },
      agents: { listen: this.agents, tunnel_listen: this.tunnel },
      proxy: { listen: this.proxy },
      gateway: { listen: this.gateway },
      spice: { html5proxy_base_url: `${scheme}://${this.proxy}/${page}` },
      // Scenarios are about callers only where they say so.
      identity: { trust_loopback: true },
      // Tests open more consoles of one machine within a minute than people do.
      sessions: { max_per_instance: 0, max_per_caller: 0, max_per_controller: 0 },
      limits: { requests_per_caller: 0 },
      telemetry: { listen: this.telemetry },
      database: { url: this.databaseUrl },
      log: { level: "debug" },
    };
    return this.#add(controllerProgram(this.#files("controller", this.telemetry, withSettings(settings, overrides))));
  }

  #add(program: ChildProgram): ChildProgram {
    this.#programs.push(program);
    return program;
  }

  #files(name: string, telemetry: string, settings: Settings): SpicegateProgramOptions {
    const home = join(this.folder, "home");
    mkdirSync(home, { recursive: true });
    const configFile = join(this.folder, `${name}.yaml`);
    writeFileSync(configFile, stringify(settings));
    return { home, configFile, logFile: join(this.folder, `${name}.log`), telemetry, heapMiB: this.#heapMiB };
  }
}

/** In the clear unless the API has a certificate of an authority. */
function channelWith(authority: string | undefined): TlsChannel {
  if (authority === undefined) return { credentials: credentials.createInsecure(), options: {} };
  return tlsChannel("127.0.0.1", authority);
}

// Whole words of the length of a token, and of the hash that is stored of it.
const TOKEN = /(?<![\w-])(?:sg[uj]_)?[\w-]{43}(?![\w-])/g;
const URL_TOKEN = /[#?]token=([\w-]+)/g;
const SHA_256 = /\b[0-9a-f]{64}\b/g;

/** Nothing that people name has capitals, small letters and digits, and the length of a secret. */
function looksRandom(word: string): boolean {
  return [/[A-Z]/, /[a-z]/, /[0-9]/].every((some) => some.test(word));
}

/** What the database keeps of a token, reckoned without the program under test. */
export function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** The entries of a log, as far as they are whole; the last one may still be written. */
export function entriesOf(logFile: string): LogEntry[] {
  const lines = readFileSync(logFile, "utf8").split("\n").slice(0, -1);
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as LogEntry);
}

/** Settings with others laid over them, option by option. */
export function withSettings(base: Settings, overrides: Settings): Settings {
  const sections = new Set([...Object.keys(base), ...Object.keys(overrides)]);
  return Object.fromEntries([...sections].map((name) => [name, { ...base[name], ...overrides[name] }]));
}
