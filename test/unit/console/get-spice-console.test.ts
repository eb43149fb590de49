// SPDX-License-Identifier: Apache-2.0
// The order of the steps is part of the behaviour: each test lets everything before a step pass and everything from it on
// fail, and sees whose answer comes back.
import { expect } from "chai";
import { Registry } from "prom-client";
import type { AgentRequest, Failure, SpiceEndpoint } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { FailureReason, ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentLink } from "../../../src/agents/agent-link.js";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import { GetSpiceConsole } from "../../../src/console/get-spice-console.js";
import type { Refusal } from "../../../src/audit/audit-log.js";
import { InstanceAccess } from "../../../src/console/instance-access.js";
import { VerbGate } from "../../../src/console/verb-gate.js";
import type { Displays } from "../../../src/displays/display.js";
import type { Instance, InstanceFault } from "../../../src/instances/instance.js";
import { silentLog } from "../../../src/lib/log.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import { Policy } from "../../../src/policy/policy.js";
import type { Role } from "../../../src/rpc/caller.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import type { AuthorizationRequest } from "../../../src/tokens/console-authorizer.js";
import { hashToken } from "../../../src/tokens/token.js";
import { anInstance } from "../../fakes/instance.js";
import { rejectionOf } from "../../harness/rejection.js";

const UUID = "00000000-0000-4000-8000-000000000001";
const EXPIRES = new Date("2030-01-01T00:00:00Z");
const ENDPOINT: SpiceEndpoint = {
  host: "10.0.0.1",
  listen: ListenKind.LISTEN_KIND_NONE,
  port: 0,
  tlsPort: 5901,
  internalAccessPath: "",
};

const INSTANCE = anInstance({ uuid: UUID, name: "one" });

/** Everything around the use case, in memory; each field may be changed before the call. */
class World {
  instance: Instance | undefined = INSTANCE;
  /** What Postgres says of it, where memory has not heard that yet. */
  stored: Instance | undefined;
  roles: readonly Role[] = ["member"];
  databaseUp = true;
  pending = false;
  agentConnected = true;
  remainingMs = 60_000;
  /** What the agent answers; undefined: nothing. */
  answer: SpiceEndpoint | Failure | undefined = ENDPOINT;
  /** Runs when it is asked whether the display can be opened. */
  onRequireReachable: Displays["requireReachable"] = () => undefined;
  /** Runs when the token is being stored. */
  onAuthorize: () => void = () => undefined;
  /** Runs when the legacy store gets the token. */
  onLegacy: () => void = () => undefined;
  readonly caller = new AbortController();
  readonly asked: AgentRequest[] = [];
  readonly authorized: AuthorizationRequest[] = [];
  readonly withdrawn: string[] = [];
  readonly legacy: unknown[] = [];
  readonly refusals: unknown[] = [];
  readonly faults: InstanceFault[] = [];

  ask(consoleType = ""): ReturnType<GetSpiceConsole["execute"]> {
    const metrics = createControllerMetrics(new Registry());
    const agents = new AgentRouter({ log: silentLog, metrics });
    if (this.agentConnected) agents.add(this.#link(metrics));
    const access = new InstanceAccess({
      instances: {
        find: () => this.instance,
        findFresh: (_uuid, projectId) => {
          const found = this.stored ?? this.instance;
          return Promise.resolve(projectId === undefined || projectId === found?.projectId ? found : undefined);
        },
        inventoryPending: () => this.pending,
      },
      refusals: { record: (refusal) => void this.refusals.push(refusal) },
      database: { isReady: () => this.databaseUp },
    });
    const policy = new Policy();
    const audit = { recordRefusal: (refusal: Refusal) => Promise.resolve(void this.refusals.push(refusal)) };
    const useCase = new GetSpiceConsole({
      access,
      policy,
      gate: new VerbGate({ policy, audit, log: silentLog }),
      agents,
      displays: { requireReachable: (host, endpoint) => this.onRequireReachable(host, endpoint) },
      tokens: {
        authorize: (request) => {
          this.authorized.push(request);
          this.onAuthorize();
          return Promise.resolve({ token: "secret", tokenHash: hashToken("secret"), expiresAt: EXPIRES });
        },
        withdraw: (token) => Promise.resolve(void this.withdrawn.push(token)),
      },
      legacy: {
        issued: (hash, console) => {
          this.legacy.push({ hash, ...console });
          this.onLegacy();
          return Promise.resolve();
        },
      },
      instances: { recordFault: (fault) => void this.faults.push(fault) },
      urls: {
        "spice-html5": { baseUrl: "http://proxy/console", tokenIn: "fragment" },
        "spice-direct": { baseUrl: "http://native/nova", tokenIn: "query" },
      },
      ttlSeconds: 600,
      log: silentLog,
    });
    return useCase.execute({ instanceUuid: UUID, consoleType }, this.#context());
  }

  #link(metrics: ReturnType<typeof createControllerMetrics>): AgentLink {
    const identity = { host: "host-1", processId: "p", generation: 1n, agentVersion: "1" };
    const link: AgentLink = new AgentLink({
      identity,
      metrics,
      end: () => undefined,
      send: (message) => {
        if (message.$case !== "request") return;
        const { request } = message;
        this.asked.push(request);
        const { answer } = this;
        if (answer === undefined) return;
        const result =
          "reason" in answer
            ? ({ $case: "failure", failure: answer } as const)
            : ({ $case: "spiceEndpoint", spiceEndpoint: answer } as const);
        queueMicrotask(() => link.receive({ id: request.id, result }));
      },
    });
    return link;
  }

  #context(): RequestContext {
    return {
      caller: { subject: "alice", project: "p1", roles: this.roles },
      requestId: "req-1",
      clientAddress: "127.0.0.1",
      signal: this.caller.signal,
      remainingMs: () => this.remainingMs,
    };
  }
}

describe("GetSpiceConsole", () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  const reason = async (consoleType?: string): Promise<string> => reasonOf(await rejectionOf(world.ask(consoleType)));

  it("gives the URL, the type and the expiry of a token for the display that the agent named", async () => {
    expect(await world.ask()).to.deep.equal({
      url: "http://proxy/console#token=secret",
      consoleType: "spice-html5",
      expiresAt: EXPIRES,
      viewOnly: false,
    });
    expect(world.authorized).to.deep.equal([
      {
        instanceUuid: UUID,
        consoleType: "spice-html5",
        agentHost: "host-1",
        ownedBy: "p1",
        host: "10.0.0.1",
        port: undefined,
        tlsPort: 5901,
        internalAccessPath: undefined,
        accessUrlBase: "http://proxy/console",
        viewOnly: false,
        ttlSeconds: 600,
        actor: { subject: "alice", projectId: "p1", requestId: "req-1", clientAddress: "127.0.0.1" },
      },
    ]);
    expect(world.faults).to.deep.equal([]);
  });

  it("has it checked again that the instance is the caller's, but for those who see every project's", async () => {
    for (const role of ["member", "service", "admin"] as const) {
      world.roles = [role];
      await world.ask();
    }
    expect(world.authorized.map(({ ownedBy }) => ownedBy)).to.deep.equal(["p1", undefined, undefined]);
  });

  it("gives a native proxy its own URL, and stores whose it is", async () => {
    for (const listen of [ListenKind.LISTEN_KIND_ADDRESS, ListenKind.LISTEN_KIND_NETWORK]) {
      world.answer = { ...ENDPOINT, listen };
      expect(await world.ask("spice-direct")).to.deep.equal({
        url: "http://native/nova?token=secret",
        consoleType: "spice-direct",
        expiresAt: EXPIRES,
        viewOnly: false,
      });
      const row = { consoleType: "spice-direct", accessUrlBase: "http://native/nova", tlsPort: 5901 };
      expect(world.authorized.at(-1)).to.deep.include(row);
    }
  });

  it("refuses a native proxy what it cannot dial, stores nothing, and blames no host", async () => {
    const { LISTEN_KIND_NONE, LISTEN_KIND_SOCKET, LISTEN_KIND_ADDRESS, LISTEN_KIND_UNSPECIFIED } = ListenKind;
    const ways = [
      { listen: LISTEN_KIND_NONE, port: 5900 },
      { listen: LISTEN_KIND_SOCKET, port: 5900 },
      { listen: LISTEN_KIND_UNSPECIFIED, port: 5900 },
      { listen: LISTEN_KIND_ADDRESS, port: 0 },
    ];
    for (const way of ways) {
      world.answer = { ...ENDPOINT, tlsPort: 0, ...way };
      expect(await reason("spice-direct"), JSON.stringify(way)).to.equal("NO_NETWORK_DISPLAY");
    }
    expect(world.authorized).to.deep.equal([]);
    expect(world.faults).to.deep.equal([]);
  });

  it("refuses a display that will not be reached, stores nothing, and blames no host", async () => {
    const asked: unknown[] = [];
    world.onRequireReachable = (...args) => {
      asked.push(args);
      throw new ServiceError("NO_NETWORK_DISPLAY", "no");
    };
    expect(await reason()).to.equal("NO_NETWORK_DISPLAY");
    expect(asked).to.deep.equal([["host-1", ENDPOINT]]);
    expect(world.authorized).to.deep.equal([]);
    expect(world.faults).to.deep.equal([]);
    world.answer = { ...ENDPOINT, listen: ListenKind.LISTEN_KIND_ADDRESS };
    expect((await world.ask("spice-direct")).consoleType).to.equal("spice-direct");
  });

  it("stores the path behind the display's port, and tells the legacy way", async () => {
    world.answer = { ...ENDPOINT, internalAccessPath: "vm-1" };
    await world.ask();
    expect(world.authorized[0]).to.include({ internalAccessPath: "vm-1" });
    expect(world.legacy[0]).to.include({ internalAccessPath: "vm-1" });
  });

  it("tells the legacy way what was issued, by the token's hash", async () => {
    await world.ask();
    const [legacy, ...others] = world.legacy;
    expect(others).to.deep.equal([]);
    expect(legacy).to.deep.include({
      hash: hashToken("secret"),
      instanceUuid: UUID,
      host: "10.0.0.1",
      port: undefined,
      tlsPort: 5901,
      accessUrlBase: "http://proxy/console",
      createdBy: "alice",
      expiresAt: EXPIRES,
    });
  });

  it("checks in its order: each refusal hides all that follow", async () => {
    const none = { ...INSTANCE, projectId: "p2", host: undefined, taskState: "deleting" };
    Object.assign(world, { databaseUp: false, pending: true, instance: undefined });
    world.agentConnected = false;
    const seen: string[] = [];
    const step = async (change: Partial<World>): Promise<void> => {
      Object.assign(world, change);
      seen.push(await reason("novnc"));
    };
    await step({});
    await step({ databaseUp: true });
    await step({ pending: false });
    await step({ instance: none });
    await step({ instance: { ...none, projectId: "p1" } });
    await step({ instance: { ...none, projectId: "p1", host: "host-1" } });
    await step({ instance: { ...INSTANCE, taskState: "migrating" } });
    await step({ instance: INSTANCE });
    expect(seen).to.deep.equal([
      "DATABASE_UNAVAILABLE",
      "INVENTORY_INCOMPLETE",
      "INSTANCE_NOT_FOUND",
      "INSTANCE_NOT_FOUND",
      "INSTANCE_NOT_READY",
      "INSTANCE_BUSY",
      "INSTANCE_BUSY",
      "CONSOLE_TYPE_INVALID",
    ]);
    expect(await reason()).to.equal("AGENT_UNAVAILABLE");
  });

  it("notes who named what it does not see, the same for nobody's and somebody else's", async () => {
    for (const instance of [undefined, { ...INSTANCE, projectId: "p2" }]) {
      world.instance = instance;
      await reason();
    }
    const actor = { subject: "alice", projectId: "p1", requestId: "req-1", clientAddress: "127.0.0.1" };
    const refusal = { reason: "INSTANCE_NOT_FOUND", instanceUuid: UUID, actor };
    expect(world.refusals).to.deep.equal([refusal, refusal]);
    world.roles = ["service"];
    world.instance = undefined;
    await reason();
    expect(world.refusals).to.have.length(2);
  });

  it("gives who is nothing but a reader a console to look at, of which no other proxy learns", async () => {
    for (const [roles, viewOnly] of [
      [["reader"], true],
      [["auditor", "reader"], true],
      [["member", "reader"], false],
    ] as const) {
      world.roles = roles;
      expect(await world.ask()).to.include({ viewOnly, consoleType: "spice-html5" });
      expect(world.authorized.at(-1)).to.include({ viewOnly });
    }
    expect(world.legacy).to.have.length(1);
  });

  it("refuses a reader a console of another viewer, and notes it", async () => {
    world.roles = ["reader"];
    world.answer = { ...ENDPOINT, listen: ListenKind.LISTEN_KIND_NETWORK };
    expect(await reason("spice-direct")).to.equal("PERMISSION_DENIED");
    expect(world.asked).to.deep.equal([]);
    expect(world.refusals).to.deep.equal([
      {
        reason: "PERMISSION_DENIED",
        instanceUuid: UUID,
        consoleType: "spice-direct",
        actor: { subject: "alice", projectId: "p1", requestId: "req-1", clientAddress: "127.0.0.1" },
      },
    ]);
  });

  it("refuses nothing by what memory says alone", async () => {
    world.stored = INSTANCE;
    for (const old of [undefined, { projectId: "p2" }, { taskState: "migrating" }, { host: undefined }]) {
      world.instance = old && { ...INSTANCE, ...old };
      await world.ask();
    }
    world.stored = { ...INSTANCE, taskState: "deleting" };
    expect(await reason()).to.equal("INSTANCE_BUSY");
  });

  it("answers for another project's instance as for an unknown one, also while hosts report", async () => {
    for (const pending of [true, false]) {
      world.pending = pending;
      world.instance = undefined;
      const unknown = await rejectionOf(world.ask());
      world.instance = { ...INSTANCE, projectId: "p2" };
      expect(await rejectionOf(world.ask())).to.deep.include({ message: unknown.message, reason: reasonOf(unknown) });
    }
  });

  it("asks no agent before all that can be known without it is in order", async () => {
    await reason("novnc");
    expect(world.asked).to.deep.equal([]);
  });

  it("gives the agent the caller's remaining time, five seconds at most, and the caller's request id", async () => {
    await world.ask();
    world.remainingMs = 1_234.5;
    await world.ask();
    expect(world.asked.map(({ timeoutMs }) => timeoutMs)).to.deep.equal([5_000, 1_234]);
    expect(world.asked[0]?.requestId).to.equal("req-1");
  });

  it("says AGENT_TIMEOUT where the agent says nothing, and stores nothing", async () => {
    world.answer = undefined;
    world.remainingMs = 5;
    expect(await reason()).to.equal("AGENT_TIMEOUT");
    expect(world.authorized).to.deep.equal([]);
  });

  it("notes a failure on the host's side as a fault, in the agent's own words, and tells the caller ours", async () => {
    world.answer = { reason: FailureReason.FAILURE_REASON_NO_SPICE_DISPLAY, message: "only vnc in /etc/libvirt" };
    const error = await rejectionOf(world.ask());
    expect(error.message).to.not.include("/etc");
    expect(world.faults).to.deep.equal([
      {
        instanceUuid: UUID,
        reason: "NO_SPICE_DISPLAY",
        message: "agent: only vnc in /etc/libvirt",
        host: "host-1",
        requestId: "req-1",
      },
    ]);
  });

  it("takes a missing domain for 'not yet' while the instance is being built", async () => {
    world.answer = { reason: FailureReason.FAILURE_REASON_INSTANCE_NOT_FOUND, message: "" };
    expect(await reason()).to.equal("INSTANCE_NOT_FOUND");
    world.instance = { ...INSTANCE, vmState: "building" };
    expect(await reason()).to.equal("INSTANCE_NOT_READY");
    world.answer = { reason: FailureReason.FAILURE_REASON_INSTANCE_NOT_RUNNING, message: "" };
    expect(await reason()).to.equal("INSTANCE_NOT_RUNNING");
  });

  it("stores nothing and notes no fault where the caller goes away while the agent is asked", async () => {
    world.answer = undefined;
    const answer = reason();
    world.caller.abort();
    expect(await answer).to.equal("CANCELLED");
    expect(world.authorized).to.deep.equal([]);
    expect(world.faults).to.deep.equal([]);
  });

  it("takes the token back where the caller goes away while it is stored", async () => {
    world.onAuthorize = () => world.caller.abort();
    expect(await reason()).to.equal("CANCELLED");
    expect(world.withdrawn).to.deep.equal(["secret"]);
    expect(world.legacy).to.deep.equal([]);
  });

  it("takes the token back where the caller goes away while the legacy store gets it", async () => {
    world.onLegacy = () => world.caller.abort();
    expect(await reason()).to.equal("CANCELLED");
    expect(world.withdrawn).to.deep.equal(["secret"]);
  });
});
