// SPDX-License-Identifier: Apache-2.0
// What an agent sends: bytes that are no messages, messages in any order, values that no agent of ours has.
import type { StatusObject } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import fc from "fast-check";
import { EventEmitter } from "node:events";
import { Registry } from "prom-client";
import type {
  DisplayKind,
  DomainEventKind,
  DomainState,
  FailureReason,
} from "../../proto/gen/spicegate/agent/v1/agent.js";
import { ConnectRequest, ConnectResponse } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentRouter } from "../../src/agents/agent-router.js";
import type { AgentCall, AgentStreamOptions } from "../../src/api/agent-stream.js";
import { AgentStream } from "../../src/api/agent-stream.js";
import type { ReportedDomain } from "../../src/instances/host.js";
import { MAX_DISPLAYS_PER_DOMAIN, MAX_DOMAINS_PER_HOST, MAX_NAME_LENGTH } from "../../src/lib/limits.js";
import { silentLog } from "../../src/lib/log.js";
import { decodeOrMalformed } from "../../src/rpc/malformed-message.js";
import { createControllerMetrics } from "../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../fakes/fake-clock.js";
import { FakeRevocations } from "../fakes/fake-revocations.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { mostly, spoilt } from "./mutations.js";

const UUID = "6f70656e-7374-4163-8b00-00000000000a";
const PROCESS = "0".repeat(32);
const decode = decodeOrMalformed((bytes) => ConnectRequest.decode(bytes));

const number = fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 9 }) }, fc.integer());
const sequence = fc.oneof(fc.bigInt(0n, 5n), fc.bigInt(0n, 2n ** 64n - 1n));
const hypervisorStatus = fc.record({
  available: fc.boolean(),
  libvirtVersion: mostly("9.0.0"),
  hypervisorVersion: mostly("7.2.22"),
  capabilities: fc.option(fc.record({ spice: fc.boolean(), vnc: fc.boolean(), graphicsFd: fc.boolean() }), {
    nil: undefined,
  }),
  detail: mostly(""),
});
const domain = fc.record({
  instanceUuid: mostly(UUID),
  name: mostly("web-1", "x".repeat(MAX_NAME_LENGTH + 1)),
  state: number.map((value) => value as DomainState),
  displays: fc.array(
    number.map((value) => value as DisplayKind),
    { maxLength: MAX_DISPLAYS_PER_DOMAIN + 1 },
  ),
  owner: fc.option(fc.record({ name: mostly("web"), projectId: mostly("p1"), userId: mostly("u1") }), {
    nil: undefined,
  }),
});
const hello = fc.record({
  host: mostly("host-1"),
  processId: mostly(PROCESS),
  generation: sequence,
  agentVersion: mostly("1.0"),
  minProtocolVersion: fc.constantFrom(1, 1, 1, 0, 2),
  maxProtocolVersion: fc.constantFrom(1, 1, 1, 2, 0),
  hypervisor: fc.option(hypervisorStatus, { nil: undefined }),
});
const result = fc.constantFrom(
  { $case: "consolePortValid", consolePortValid: {} } as const,
  { $case: "failure", failure: { reason: 99 as FailureReason, message: "\0" } } as const,
  undefined,
);
const later = fc.oneof(
  fc
    .record({ sequence, domains: fc.array(domain, { maxLength: 6 }), lastPage: fc.boolean() })
    .map((inventorySnapshot) => {
      return { $case: "inventorySnapshot", inventorySnapshot } as const;
    }),
  fc
    .record({
      sequence,
      kind: number.map((value) => value as DomainEventKind),
      domain: fc.option(domain, { nil: undefined }),
    })
    .map((domainEvent) => {
      return { $case: "domainEvent", domainEvent } as const;
    }),
  hypervisorStatus.map((reported) => ({ $case: "hypervisorStatus", hypervisorStatus: reported }) as const),
  fc.record({ id: sequence, result }).map((reply) => ({ $case: "reply", reply }) as const),
  fc.constant({ $case: "drain", drain: { cause: 0, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 } } as const),
);
const greeting = hello.map((said) => ({ $case: "hello", hello: said }) as const);
const message = fc.oneof({ weight: 12, arbitrary: later }, greeting);
const bytes = message.map((said) => ConnectRequest.encode({ message: said }).finish());
const anything = fc.oneof({ weight: 6, arbitrary: bytes }, spoilt(bytes), fc.uint8Array());
const stream = fc.tuple(
  fc.oneof(
    { weight: 8, arbitrary: greeting.map((said) => ConnectRequest.encode({ message: said }).finish()) },
    anything,
  ),
  fc.array(anything, { maxLength: 20 }),
);

/** The server's side of a stream, as grpc-js would hand it over. */
class SilentCall extends EventEmitter {
  readonly errors: StatusObject[] = [];
  ended = false;

  constructor() {
    super();
    this.on("error", (error: StatusObject) => this.errors.push(error));
  }

  write(sent: Buffer, taken: () => void): boolean {
    ConnectResponse.decode(sent);
    taken();
    return true;
  }

  end(): void {
    this.ended = true;
  }

  getPeer(): string {
    return "127.0.0.1:1";
  }
}

/** Stands where reports are stored, and takes only what a row can hold. */
class Reports {
  readonly instances: AgentStreamOptions["instances"] = {
    welcomeHost: ({ host }) => Promise.resolve({ host, streamId: 1n, generation: 7n }),
    hostDisconnected: () => Promise.resolve(),
    applySnapshot: (_stream, { domains }) => {
      expect(domains).to.have.length.at.most(MAX_DOMAINS_PER_HOST);
      for (const reported of domains) expectStorable(reported);
      return Promise.resolve("applied");
    },
    applyEvent: (_stream, { domain: reported }) => {
      expectStorable(reported);
      return Promise.resolve("applied");
    },
    setHypervisor: (_stream, report) => {
      expect(JSON.stringify(report)).to.not.include("\\u0000");
      return Promise.resolve();
    },
  };
}

function expectStorable({ uuid, name, displays, owner }: ReportedDomain): void {
  expect(uuid).to.equal(UUID);
  expect(JSON.stringify([name, owner])).to.not.include("\\u0000");
  expect(Array.from(name)).to.have.length.at.most(MAX_NAME_LENGTH);
  expect(displays).to.have.length.at.most(MAX_DISPLAYS_PER_DOMAIN);
}

/** What grpc-js does with each message: decode, hand over, and go on with whatever else there is to do. */
async function run([first, more]: readonly [Uint8Array, readonly Uint8Array[]]): Promise<void> {
  const clock = new FakeClock();
  const metrics = createControllerMetrics(new Registry());
  const router = new AgentRouter({ log: silentLog, metrics, clock });
  const { instances } = new Reports();
  const hosts = { hostsProven: false, revocations: new FakeRevocations(), refusals: { record: () => undefined } };
  const common = { ...hosts, controllerId: "c".repeat(32), peers: () => [], databaseUp: () => true, log: silentLog };
  const call = new SilentCall();
  new AgentStream(call as unknown as AgentCall, { ...common, router, instances, metrics, clock }).run();
  for (const said of [first, ...more]) {
    call.emit("data", decode(Buffer.from(said)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  call.emit("end");
  await new Promise((resolve) => setImmediate(resolve));
  for (const { code } of call.errors) expect(code).to.be.oneOf([status.INVALID_ARGUMENT, status.RESOURCE_EXHAUSTED]);
  expect(call.errors.length + Number(call.ended)).to.be.at.most(1);
  expect(router.isConnected("host-1"), "after the end").to.equal(false);
}

/** A stream ends well or with what the agent did wrong; what is stored has been checked; a message means what it says. */
export const target: FuzzTarget = {
  runs: 300,
  property: fc.asyncProperty(stream, message, async (sent, said) => {
    expect(ConnectRequest.decode(ConnectRequest.encode({ message: said }).finish()).message).to.deep.equal(said);
    await run(sent);
  }),
};
