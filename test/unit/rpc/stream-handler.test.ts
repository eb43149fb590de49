// SPDX-License-Identifier: Apache-2.0
import type { ClientReadableStream, ServiceError as GrpcError } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import type { WatchSessionsResponse } from "../../../proto/gen/spicegate/session/v1/session.js";
import { SessionServiceClient, SessionServiceService } from "../../../proto/gen/spicegate/session/v1/session.js";
import { CALLER_RECHECK_MS, WATCHER_READS_MS } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { StreamHandlers } from "../../../src/rpc/stream-handler.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { callersAre } from "../../harness/callers.js";
import { errorDetails } from "../../harness/grpc-client.js";
import { until, within } from "../../harness/within.js";

const STEP: WatchSessionsResponse = { revision: 1n, event: { $case: "synced", synced: {} } };

describe("StreamHandlers", () => {
  let method: (context: RequestContext) => AsyncIterable<WatchSessionsResponse>;
  let identify: () => Caller;
  let admit: (context: RequestContext) => void;
  let clock: FakeClock;
  let fake: FakeLog;
  let handlers: StreamHandlers;
  let server: GrpcServer;
  let client: SessionServiceClient;

  beforeEach(async () => {
    fake = new FakeLog();
    const caller: Caller = { subject: "tester", project: "p", roles: ["member"] };
    identify = () => caller;
    admit = () => undefined;
    const options = {
      callers: callersAre(() => identify()),
      guardOf: () => ({ asksWho: true, admit: (context: RequestContext) => admit(context) }),
      log: fake.log,
      metrics: createControllerMetrics(createRegistry()),
    };
    clock = new FakeClock();
    handlers = new StreamHandlers(options, clock);
    const unused = (): void => undefined;
    const watchSessions = handlers.handle(SessionServiceService.watchSessions, (_request, context) => method(context));
    server = new GrpcServer({
      name: "test",
      listen: { host: "127.0.0.1", port: 0 },
      log: fake.log,
      requireRule: ruleOf,
      addServices: (grpc) =>
        grpc.addService(SessionServiceService, {
          watchSessions,
          listSessions: unused,
          getSession: unused,
          terminateSession: unused,
        }),
    });
    await server.start();
    client = new SessionServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  });

  afterEach(async () => {
    await handlers.stop();
    client.close();
    await server.stop();
  });

  /** How the stream ends, and what came before. */
  function outcome(call: ClientReadableStream<WatchSessionsResponse>): Promise<{ messages: number; reason: string }> {
    let messages = 0;
    call.on("data", () => (messages += 1));
    const ended = new Promise<string>((resolve) => {
      call.on("error", (error: GrpcError) => resolve(errorDetails(error.metadata).info?.reason ?? error.details));
      call.on("end", () => resolve("OK"));
    });
    return within("the end of the stream", ended).then((reason) => ({ messages, reason }));
  }

  /** The one line that a call leaves. */
  const line = (): Record<string, unknown> | undefined =>
    fake.at("info").find(({ method: name }) => name === "WatchSessions");

  /** Waits until its signal aborts, and throws what it aborts with. */
  function untilAborted({ signal }: RequestContext): Promise<never> {
    return new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  }

  it("sends what the method yields, ends with it, and leaves one line", async () => {
    method = async function* (context) {
      expect(context.caller.subject).to.equal("tester");
      yield await Promise.resolve(STEP);
      yield STEP;
    };
    expect(await outcome(client.watchSessions({ instanceUuid: "" }))).to.deep.equal({ messages: 2, reason: "OK" });
    await until("the log line", () => line() !== undefined);
    expect(line()).to.deep.include({ reason: "OK", subject: "tester", msg: "call served" });
  });

  it("ends with the reason that the method throws, after what it has sent", async () => {
    method = async function* () {
      yield await Promise.resolve(STEP);
      throw new ServiceError("LIMITED", "too slow");
    };
    expect(await outcome(client.watchSessions({ instanceUuid: "" }))).to.deep.equal({ messages: 1, reason: "LIMITED" });
  });

  it("refuses whom nobody knows, before the method", async () => {
    method = async function* () {
      yield await Promise.resolve(STEP);
    };
    identify = () => NOBODY;
    const end = { messages: 0, reason: "UNAUTHENTICATED" };
    expect(await outcome(client.watchSessions({ instanceUuid: "" }))).to.deep.equal(end);
  });

  it("ends with UNAUTHENTICATED, within a second, when its caller is not known any more", async () => {
    method = async function* (context) {
      yield await Promise.resolve(STEP);
      await untilAborted(context);
    };
    const call = client.watchSessions({ instanceUuid: "" });
    const end = outcome(call);
    await within("the first message", new Promise((resolve) => call.once("data", resolve)));
    clock.advance(CALLER_RECHECK_MS);
    await until("the next look", () => clock.waiting === 1);
    identify = () => NOBODY;
    clock.advance(CALLER_RECHECK_MS);
    expect(await end).to.deep.equal({ messages: 1, reason: "UNAUTHENTICATED" });
    await until("the log line", () => line() !== undefined);
    expect(line()).to.deep.include({ reason: "UNAUTHENTICATED", subject: "tester" });
    expect(clock.waiting).to.equal(0);
  });

  it("ends within a second when its caller may not call any more", async () => {
    method = async function* (context) {
      yield await Promise.resolve(STEP);
      await untilAborted(context);
    };
    const call = client.watchSessions({ instanceUuid: "" });
    const end = outcome(call);
    await within("the first message", new Promise((resolve) => call.once("data", resolve)));
    admit = ({ caller }) => {
      throw new ServiceError("PERMISSION_DENIED", caller.subject);
    };
    clock.advance(CALLER_RECHECK_MS);
    expect(await end).to.deep.equal({ messages: 1, reason: "PERMISSION_DENIED" });
  });

  it("refuses who may not call, before the method", async () => {
    method = async function* () {
      yield await Promise.resolve(STEP);
    };
    admit = () => {
      throw new ServiceError("PERMISSION_DENIED", "no");
    };
    const end = { messages: 0, reason: "PERMISSION_DENIED" };
    expect(await outcome(client.watchSessions({ instanceUuid: "" }))).to.deep.equal(end);
  });

  it("looks no more at who has called once the stream is over", async () => {
    method = async function* () {
      yield await Promise.resolve(STEP);
    };
    await outcome(client.watchSessions({ instanceUuid: "" }));
    expect(clock.waiting).to.equal(0);
  });

  it("tells the method when the caller goes away", async () => {
    let gone: Promise<unknown> = Promise.resolve();
    let began = false;
    method = async function* (context) {
      began = true;
      gone = untilAborted(context).catch(() => "gone");
      await gone;
      yield STEP;
    };
    const call = client.watchSessions({ instanceUuid: "" });
    const end = outcome(call);
    await until("the call", () => began);
    call.cancel();
    expect(await within("the method's end", gone)).to.equal("gone");
    await end;
  });

  it("asks for no more than the connection takes, and cuts off who does not read", async () => {
    let asked = 0;
    method = async function* () {
      for (;;) {
        asked += 1;
        yield await Promise.resolve({ ...STEP, revision: BigInt(asked) });
      }
    };
    const call = client.watchSessions({ instanceUuid: "" });
    const end = outcome(call);
    call.pause();
    await until("the method to be left alone", () => asked > 100 && clock.waiting === 2);
    clock.advance(WATCHER_READS_MS);
    await until("the log line", () => line() !== undefined);
    expect(line()).to.deep.include({ reason: "LIMITED", msg: "call refused" });
    call.cancel();
    await end;
  });

  it("ends what runs with DRAINING when it stops, and refuses what comes later", async () => {
    method = async function* (context) {
      yield await Promise.resolve(STEP);
      await untilAborted(context);
    };
    const call = client.watchSessions({ instanceUuid: "" });
    const end = outcome(call);
    await within("the first message", new Promise((resolve) => call.once("data", resolve)));
    await handlers.stop();
    expect(await end).to.deep.equal({ messages: 1, reason: "DRAINING" });
    expect((await outcome(client.watchSessions({ instanceUuid: "" }))).reason).to.equal("DRAINING");
  });
});
