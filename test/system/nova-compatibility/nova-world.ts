// SPDX-License-Identifier: Apache-2.0
// What the compatibility groups run in: a controller for each setting that matters, a real host, and hosts whose agents
// are scripted. All groups share them, so that each costs its own steps and not a start.
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../../demo/demo-machine.js";
import { defineAndStart } from "../../../demo/demo-machine.js";
import { freePort } from "../../../demo/ports.js";
import type { AgentRequest, SpiceEndpoint } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { FailureReason, ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type { LookupConsoleTokenResponse } from "../../../proto/gen/spicegate/console/v1/console.js";
import type { FakeAnswer } from "../../fakes/fake-agent.js";
import { FakeAgent, fakeDomain } from "../../fakes/fake-agent.js";
import { Deployment } from "../../harness/deployment.js";
import { callUnary } from "../../harness/grpc-client.js";
import { sharedLibvirtd } from "../../harness/hypervisor.js";
import { register, responseOf } from "../../harness/inventory-calls.js";
import { stopAtEnd } from "../../harness/shared-parts.js";
import { runStatement } from "../../harness/test-database.js";
import { postToken, tokenOf } from "../../harness/viewer.js";

/** The settings that groups are run under. */
export interface WorldSettings {
  /** workarounds.enable_consoleauth; the store is in the controller's process. */
  readonly legacy: boolean;
  /** console.compat_tokens. */
  readonly compat: boolean;
}

/** What a scripted agent answers; a test may change it at any time. */
export interface Script {
  endpoint: SpiceEndpoint;
  /** What it says instead, whatever it is asked. */
  failure: FailureReason | undefined;
  /** Whether it says nothing at all. */
  silent: boolean;
}

/** An instance on a host of its own with a scripted agent. */
export interface ScriptedInstance {
  readonly uuid: string;
  readonly host: string;
  readonly agent: FakeAgent;
  readonly script: Script;
}

/** An address of this machine whose X-Forwarded-* headers are believed. */
export const TRUSTED_PROXY = "127.0.0.2";

const ENDPOINT: SpiceEndpoint = {
  host: "127.0.0.1",
  listen: ListenKind.LISTEN_KIND_ADDRESS,
  port: 5900,
  tlsPort: 5901,
  internalAccessPath: "",
};

/** A deployment with one pair of settings, and what most groups do in it. */
export class NovaWorld {
  readonly settings: WorldSettings;
  readonly deployment: Deployment;
  readonly #agents: FakeAgent[] = [];
  /** Of the machine; groups with scripted agents alone do without it. */
  #realHost: Promise<void> | undefined;

  constructor(settings: WorldSettings, deployment: Deployment) {
    this.settings = settings;
    this.deployment = deployment;
  }

  static async start(settings: WorldSettings): Promise<NovaWorld> {
    const { legacy, compat } = settings;
    const controller = {
      workarounds: { enable_consoleauth: legacy },
      console: { compat_tokens: compat, allowed_origins: ["http://dashboard.example", "https://dashboard.example"] },
      // Sessions of these tests are shorter than their tokens, except where a test makes the token shorter.
      consoleauth: { enforce_session_timeout: true },
      proxy: { trusted_proxies: [TRUSTED_PROXY], drain_seconds: 0 },
      log: { level: "trace" },
    };
    return new NovaWorld(settings, await Deployment.start({ controller }));
  }

  /** An instance that is registered, and reported by the agent of a host of its own. */
  async scripted(more: { readonly projectId?: string; readonly vmState?: string } = {}): Promise<ScriptedInstance> {
    const uuid = randomUUID();
    const host = `nova-${this.#agents.length}`;
    const agent = await this.connect(host, [uuid], { endpoint: ENDPOINT, failure: undefined, silent: false });
    await this.deployment.knows(uuid);
    await register(this.deployment, { instanceUuid: uuid, host, vmState: "active", ...more });
    return { uuid, host, ...agent };
  }

  /** The scripted agent of another host, which reports these domains as running. */
  async connect(
    host: string,
    uuids: readonly string[],
    script: Script,
  ): Promise<Omit<ScriptedInstance, "uuid" | "host">> {
    const domains = uuids.map((uuid) => fakeDomain(uuid));
    const answer = (request: AgentRequest): FakeAnswer => answerOf(request, script);
    const agent = await FakeAgent.connect(this.deployment.agents, { host, domains, answer });
    this.#agents.push(agent);
    return { agent, script };
  }

  /** The shared machine, known and running. */
  async machine(): Promise<DemoMachine> {
    const machine = await sharedMachine();
    await (this.#realHost ??= this.#startAgent());
    await this.deployment.knows(machine.uuid);
    return machine;
  }

  async #startAgent(): Promise<void> {
    const { uri } = await sharedLibvirtd();
    const telemetry = `127.0.0.1:${await freePort()}`;
    await this.deployment.addAgent("nova-real", uri, telemetry, { log: { level: "trace" } }).start();
  }

  /** A console's token. */
  async issue(uuid: string, consoleType?: string): Promise<string> {
    return tokenOf(responseOf(await this.deployment.getConsole(uuid, { consoleType })).url);
  }

  /** Opens a token as our page does: "OK", or the reason why not. */
  async redeem(token: string): Promise<string> {
    const { status, body } = await postToken(this.deployment.proxy, token);
    return status === 201 ? "OK" : String(body["reason"]);
  }

  /** What a token stands for, or the reason why that is not told. */
  async lookup(token: string): Promise<LookupConsoleTokenResponse | string> {
    const { console } = this.deployment;
    const result = await callUnary(console.lookupConsoleToken.bind(console), { token });
    return result.ok ? result.response : result.failure.reason;
  }

  /** Runs a statement on the deployment's database. */
  sql<Row extends Record<string, unknown>>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return runStatement<Row>(this.deployment.databaseUrl, text, values);
  }

  /** Fails where a secret was logged or stored. */
  async stop(): Promise<void> {
    for (const agent of this.#agents) agent.close();
    await this.deployment.stop();
  }
}

/** Runs a group's tests with the legacy way off, and then on. */
export function withAndWithoutLegacy(
  tests: (world: () => NovaWorld) => void,
  { compat = false }: Pick<Partial<WorldSettings>, "compat"> = {},
): void {
  for (const legacy of [false, true]) {
    describe(`with enable_consoleauth ${legacy ? "on" : "off"}${compat ? " and compat_tokens on" : ""}`, function () {
      this.timeout(60_000);
      inWorld({ legacy, compat }, tests);
    });
  }
}

/** Runs tests in the world of these settings, which ends with the last group that is in it. */
export function inWorld(settings: WorldSettings, tests: (world: () => NovaWorld) => void): void {
  const shared = worldOf(settings);
  shared.groups += 1;
  let world: NovaWorld | undefined;
  before(async () => {
    world = await (shared.started ??= NovaWorld.start(settings));
  });
  after(async () => {
    shared.groups -= 1;
    if (shared.groups > 0) return;
    // Files that come later in this process may begin it anew.
    shared.started = undefined;
    await world?.stop();
  });
  tests(() => {
    if (!world) throw new Error("the world has not begun");
    return world;
  });
}

interface SharedWorld {
  groups: number;
  started: Promise<NovaWorld> | undefined;
}

const worlds = new Map<string, SharedWorld>();
let machine: Promise<DemoMachine> | undefined;

function worldOf(settings: WorldSettings): SharedWorld {
  const key = JSON.stringify(settings);
  const world = worlds.get(key) ?? { groups: 0, started: undefined };
  worlds.set(key, world);
  return world;
}

/** One machine with a display on a port, for all worlds: each has an agent of its own on that libvirt. */
async function sharedMachine(): Promise<DemoMachine> {
  machine ??= sharedLibvirtd().then((libvirtd) => defineAndStart(libvirtd, { name: "nova", displays: ["spice-tcp"] }));
  return machine;
}

function answerOf({ operation }: AgentRequest, { endpoint, failure, silent }: Script): FakeAnswer {
  if (silent) return undefined;
  if (failure !== undefined) return { $case: "failure", failure: { reason: failure, message: "as the test says" } };
  switch (operation?.$case) {
    case "getSpiceEndpoint":
      return { $case: "spiceEndpoint", spiceEndpoint: endpoint };
    case "validateConsolePort": {
      const { port, tlsPort } = operation.validateConsolePort;
      if (port === endpoint.port && tlsPort === endpoint.tlsPort) {
        return { $case: "consolePortValid", consolePortValid: {} };
      }
      const reason = FailureReason.FAILURE_REASON_TARGET_CHANGED;
      return { $case: "failure", failure: { reason, message: "another port" } };
    }
    default:
      return undefined;
  }
}

// Where only some of the groups are run, their worlds have not ended before.
stopAtEnd(async () => {
  for (const { started } of worlds.values()) await (await started)?.stop();
});
