// SPDX-License-Identifier: Apache-2.0
import type { StatusObject } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { X509Certificate } from "node:crypto";
import { EventEmitter } from "node:events";
import { Registry } from "prom-client";
import type { ConnectRequest, Hello } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { ConnectResponse, RefusalReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type { AskOptions } from "../../../src/agents/agent-link.js";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import type { AgentCall, AgentStreamOptions } from "../../../src/api/agent-stream.js";
import { AgentStream } from "../../../src/api/agent-stream.js";
import type { Refusal } from "../../../src/audit/audit-log.js";
import type { HostHello, HostStream } from "../../../src/instances/host.js";
import { HELLO_MS, MAX_QUEUED_BYTES, REVOKED_WAIT_MS } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeRevocations } from "../../fakes/fake-revocations.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";

type Message = NonNullable<ConnectResponse["message"]>;

const HELLO: Hello = {
  host: "host-1",
  processId: "0".repeat(32),
  generation: 0n,
  agentVersion: "1.0",
  minProtocolVersion: 1,
  maxProtocolVersion: 1,
  hypervisor: undefined,
};
const ask = (requestId = "r"): AskOptions => ({ ms: 1_000, requestId, signal: new AbortController().signal });

/** The server's side of a stream, as grpc-js would hand it over; an agent's part is played by the test. */
class FakeCall extends EventEmitter {
  readonly sent: Message[] = [];
  readonly errors: StatusObject[] = [];
  ended = false;
  /** Whether the connection takes what is written. */
  takes = true;

  constructor() {
    super();
    this.on("error", (error: StatusObject) => this.errors.push(error));
  }

  write(bytes: Buffer, taken: () => void): boolean {
    this.sent.push(ConnectResponse.decode(bytes).message!);
    if (this.takes) taken();
    return this.takes;
  }

  end(): void {
    this.ended = true;
  }

  getPeer(): string {
    return "127.0.0.1:1";
  }

  /** As grpc-js tells of a client that has shown a certificate. */
  certificate: string | undefined;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Buffer } } {
    return this.certificate === undefined ? {} : { sslPeerCertificate: new X509Certificate(this.certificate) };
  }

  say(message: ConnectRequest["message"]): void {
    this.emit("data", { message });
  }
}

const PEERS = [{ controllerId: "d".repeat(32), address: "127.0.0.1:1" }];

describe("AgentStream", () => {
  let clock: FakeClock;
  let registry: Registry;
  let router: AgentRouter;
  let welcome: (hello: HostHello) => Promise<HostStream>;
  let disconnected: bigint[];
  let refused: Refusal[];
  let revocations: FakeRevocations;
  let options: AgentStreamOptions;

  beforeEach(() => {
    clock = new FakeClock();
    registry = new Registry();
    const metrics = createControllerMetrics(registry);
    router = new AgentRouter({ log: silentLog, metrics, clock });
    disconnected = [];
    refused = [];
    revocations = new FakeRevocations();
    let streams = 0n;
    welcome = ({ host }) => Promise.resolve({ host, streamId: ++streams, generation: 7n });
    options = {
      controllerId: "c".repeat(32),
      router,
      peers: () => PEERS,
      instances: {
        welcomeHost: (hello) => welcome(hello),
        hostDisconnected: ({ streamId }) => Promise.resolve(void disconnected.push(streamId)),
        applySnapshot: () => Promise.resolve("applied"),
        applyEvent: () => Promise.resolve("applied"),
        setHypervisor: () => Promise.resolve(),
      },
      databaseUp: () => true,
      hostsProven: false,
      revocations,
      refusals: { record: (refusal) => void refused.push(refusal) },
      log: silentLog,
      metrics,
      clock,
    };
  });

  const open = (): FakeCall => {
    const call = new FakeCall();
    new AgentStream(call as unknown as AgentCall, options).run();
    return call;
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const greeted = async (hello: Partial<Hello> = {}, certificate?: string): Promise<FakeCall> => {
    const call = open();
    call.certificate = certificate;
    call.say({ $case: "hello", hello: { ...HELLO, ...hello } });
    await settled();
    return call;
  };
  const refusalOf = (call: FakeCall): RefusalReason | undefined => {
    const [message] = call.sent;
    return message?.$case === "refusal" && call.ended ? message.refusal.reason : undefined;
  };

  it("welcomes an agent, which can then be asked", async () => {
    const call = await greeted();
    expect(call.sent).to.deep.equal([
      {
        $case: "welcome",
        welcome: { controllerId: options.controllerId, generation: 7n, protocolVersion: 1, peers: PEERS },
      },
    ]);
    expect(router.require("host-1").identity).to.include({ generation: 7n, agentVersion: "1.0" });
    expect(clock.waiting).to.equal(0);
  });

  it("tells an agent that is in of controllers that come and go", async () => {
    const call = await greeted();
    await router.announce([]);
    expect(call.sent.at(-1)).to.deep.equal({ $case: "peers", peers: { peers: [] } });
  });

  it("cuts a stream without Hello after its time, and one that begins with anything else at once", () => {
    const silent = open();
    clock.advance(HELLO_MS - 1);
    expect(silent.errors).to.deep.equal([]);
    clock.advance(1);
    const rude = open();
    rude.say({ $case: "drain", drain: { cause: 1, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 } });
    for (const call of [silent, rude]) expect(call.errors[0]?.code).to.equal(status.INVALID_ARGUMENT);
  });

  it("refuses by reason: versions, a malformed Hello, a controller that stops, a database that is away", async () => {
    const tooNew = await greeted({ minProtocolVersion: 2, maxProtocolVersion: 3 });
    const tooOld = await greeted({ minProtocolVersion: 0, maxProtocolVersion: 0 });
    const malformed = await greeted({ host: "" });
    welcome = () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away"));
    const early = await greeted();
    await router.stop();
    const late = await greeted();
    expect([tooNew, tooOld, malformed, early, late].map(refusalOf)).to.deep.equal([
      RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED,
      RefusalReason.REFUSAL_REASON_PROTOCOL_UNSUPPORTED,
      RefusalReason.REFUSAL_REASON_INVALID_HELLO,
      RefusalReason.REFUSAL_REASON_DATABASE_UNAVAILABLE,
      RefusalReason.REFUSAL_REASON_DRAINING,
    ]);
    expect(await registry.metrics()).to.include('streams_refused_total{reason="protocol_unsupported"} 2');
  });

  describe("where hosts are proven", () => {
    const authority = new TestAuthority();
    const { cert } = authority.issue({ names: "DNS:host-1,DNS:*.example" });
    after(() => authority.remove());
    beforeEach(() => {
      options = { ...options, hostsProven: true };
    });

    it("welcomes the host of the certificate, and refuses and notes every other name", async () => {
      expect((await greeted({}, cert)).sent[0]?.$case).to.equal("welcome");
      for (const host of ["host-2", "Host-1", "host-1.example", "a.example"]) {
        const call = await greeted({ host }, cert);
        expect(refusalOf(call), host).to.equal(RefusalReason.REFUSAL_REASON_HOST_MISMATCH);
        expect(router.isConnected(host)).to.equal(false);
      }
      expect(refused[0]).to.deep.equal({
        actor: { subject: "host-1", projectId: "", requestId: "", clientAddress: "127.0.0.1" },
        reason: "HOST_MISMATCH",
        host: "host-2",
      });
      expect(refused.map(({ host }) => host)).to.deep.equal(["host-2", "Host-1", "host-1.example", "a.example"]);
    });

    it("refuses whoever shows nothing", async () => {
      expect(refusalOf(await greeted())).to.equal(RefusalReason.REFUSAL_REASON_HOST_MISMATCH);
    });
  });

  describe("of a revoked host", () => {
    it("is refused, noted, and told to wait long", async () => {
      revocations.refused.add("host-1");
      const call = await greeted();
      expect(refusalOf(call)).to.equal(RefusalReason.REFUSAL_REASON_HOST_REVOKED);
      const [message] = call.sent;
      expect(message?.$case === "refusal" && message.refusal.retryAfterMs).to.equal(REVOKED_WAIT_MS);
      expect(message?.$case === "refusal" && message.refusal.message).to.include("spicegate host token --host host-1");
      expect(refused.map(({ reason, host }) => [reason, host])).to.deep.equal([["HOST_REVOKED", "host-1"]]);
      expect([router.isConnected("host-1"), revocations.listeners]).to.deep.equal([false, 0]);
    });

    it("is judged by its certificate where it shows one", async () => {
      const authority = new TestAuthority();
      const [first, second] = [authority.issue({ names: "DNS:host-1" }), authority.issue({ names: "DNS:host-1" })];
      authority.remove();
      revocations.refused.add(new X509Certificate(first.cert).serialNumber.toLowerCase().replace(/^0+/, ""));
      expect(refusalOf(await greeted({}, first.cert))).to.equal(RefusalReason.REFUSAL_REASON_HOST_REVOKED);
      expect((await greeted({}, second.cert)).sent[0]?.$case).to.equal("welcome");
    });

    it("is cut when it is revoked, and others are not", async () => {
      const call = await greeted();
      const other = await greeted({ host: "host-2" });
      revocations.refused.add("host-1");
      revocations.tell("host-1");
      await settled();
      expect(call.errors.map(({ code }) => code)).to.deep.equal([status.PERMISSION_DENIED]);
      expect([router.isConnected("host-1"), router.isConnected("host-2")]).to.deep.equal([false, true]);
      expect([other.errors.length, revocations.listeners]).to.deep.equal([0, 1]);
    });

    it("stays where it has joined again meanwhile", async () => {
      const call = await greeted();
      revocations.tell("host-1");
      await settled();
      expect([call.errors.length, router.isConnected("host-1")]).to.deep.equal([0, true]);
    });

    it("is cut where it is revoked while it is welcomed, or nobody can say whether it was", async () => {
      let finish: (stream: HostStream) => void = () => undefined;
      welcome = () => new Promise((resolve) => (finish = resolve));
      const call = await greeted();
      revocations.isRefused = () => Promise.reject(new Error("away"));
      revocations.tell("host-1");
      await settled();
      finish({ host: "host-1", streamId: 9n, generation: 7n });
      await settled();
      expect(call.errors.map(({ code }) => code)).to.deep.equal([status.UNAVAILABLE]);
      expect([router.isConnected("host-1"), disconnected]).to.deep.equal([false, [9n]]);
    });
  });

  it("cuts the stream with INTERNAL where the welcome fails in a way that nobody foresaw", async () => {
    welcome = () => Promise.reject(new Error("secret"));
    const call = await greeted();
    expect(call.errors[0]).to.include({ code: status.INTERNAL, details: "the agent could not be welcomed" });
  });

  it("cuts a stream that speaks before Welcome, says Hello twice, or sends malformed reports", async () => {
    const hasty = open();
    hasty.say({ $case: "hello", hello: HELLO });
    hasty.say({ $case: "hello", hello: HELLO });
    const twice = await greeted({ host: "host-2" });
    twice.say({ $case: "hello", hello: HELLO });
    const malformed = await greeted({ host: "host-3" });
    malformed.say({ $case: "domainEvent", domainEvent: { sequence: 1n, kind: 1, domain: undefined } });
    for (const call of [hasty, twice, malformed]) {
      expect(call.errors.map(({ code }) => code)).to.deep.equal([status.INVALID_ARGUMENT]);
    }
    expect(router.isConnected("host-2")).to.equal(false);
  });

  it("lets go of an agent that left while it was being welcomed", async () => {
    let finish: (stream: HostStream) => void = () => undefined;
    welcome = () => new Promise((resolve) => (finish = resolve));
    const call = await greeted();
    call.emit("cancelled");
    finish({ host: "host-1", streamId: 5n, generation: 1n });
    await settled();
    expect(disconnected).to.deep.equal([5n]);
    expect(router.isConnected("host-1")).to.equal(false);
    expect(call.sent).to.deep.equal([]);
  });

  it("ignores and counts messages that it does not know", async () => {
    const call = await greeted();
    call.say(undefined);
    expect(call.errors).to.deep.equal([]);
    expect(await registry.metrics()).to.include('messages_ignored_total{kind="unknown_message"} 1');
  });

  it("fails what was asked when the connection goes, and forgets the agent once", async () => {
    const call = await greeted();
    const answer = router.require("host-1").getSpiceEndpoint("u", ask());
    call.emit("cancelled");
    call.emit("close");
    expect(await rejectionOf(answer)).to.have.property("reason", "AGENT_UNAVAILABLE");
    expect(router.isConnected("host-1")).to.equal(false);
    await settled();
    expect(disconnected).to.deep.equal([1n]);
    expect(await registry.metrics()).to.include('streams_ended_total{cause="connection lost"} 1');
  });

  it("ends its half when the agent ends its own", async () => {
    const call = await greeted();
    call.emit("end");
    expect(call.ended).to.equal(true);
    expect(router.isConnected("host-1")).to.equal(false);
  });

  it("asks a draining agent nothing new", async () => {
    const call = await greeted();
    call.say({ $case: "drain", drain: { cause: 1, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 } });
    expect(() => router.require("host-1")).to.throw(ServiceError);
    expect(call.ended).to.equal(false);
  });

  it("does not remove its replacement when the displaced stream ends late", async () => {
    const older = await greeted();
    await greeted({ processId: "1".repeat(32) });
    await settled();
    expect(older.sent.at(-1)?.$case).to.equal("drain");
    older.emit("close");
    expect(router.isConnected("host-1")).to.equal(true);
  });

  it("cuts an agent that does not read", async () => {
    const call = await greeted();
    call.takes = false;
    const link = router.require("host-1");
    const long = "x".repeat(10_000);
    const waiting: Promise<Error>[] = [];
    while (call.errors.length === 0 && waiting.length * long.length < 2 * MAX_QUEUED_BYTES) {
      waiting.push(rejectionOf(link.getSpiceEndpoint("u", ask(long))));
    }
    expect(call.errors[0]?.code).to.equal(status.RESOURCE_EXHAUSTED);
    await Promise.all(waiting);
  });
});
