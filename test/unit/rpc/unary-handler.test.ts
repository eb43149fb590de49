// SPDX-License-Identifier: Apache-2.0
import type { Metadata } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import type { LookupConsoleTokenResponse } from "../../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceClient, ConsoleServiceService } from "../../../proto/gen/spicegate/console/v1/console.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import type { CallGuard } from "../../../src/rpc/call-guard.js";
import { NO_CALL_LIMITS } from "../../../src/rpc/call-limits.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import type { CallerSource, Credentials } from "../../../src/rpc/callers.js";
import { Callers } from "../../../src/rpc/callers.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { UnaryHandlers } from "../../../src/rpc/unary-handler.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import type { CallOptions, CallResult } from "../../harness/grpc-client.js";
import { callUnary } from "../../harness/grpc-client.js";

const RESPONSE: LookupConsoleTokenResponse = {
  instanceUuid: "x",
  host: "h",
  port: 1,
  tlsPort: 0,
  internalAccessPath: "",
};

describe("UnaryHandlers", () => {
  const registry = createRegistry();
  const metrics = createControllerMetrics(registry);
  let lookup: (context: RequestContext) => Promise<LookupConsoleTokenResponse>;
  let onServerEnd: () => void;
  let admit: CallGuard["admit"];
  const guarded: string[] = [];
  let asksWho = true;
  const tester: Caller = { subject: "tester", project: "p", roles: ["member"] };
  let identify: CallerSource["identify"];
  const handlers = new UnaryHandlers({
    callers: new Callers({
      sources: [{ identify: (credentials, signal) => identify(credentials, signal) }],
      entrance: "grpc",
      limits: NO_CALL_LIMITS,
      metrics,
    }),
    guardOf: (path) => {
      guarded.push(path);
      return {
        get asksWho() {
          return asksWho;
        },
        admit: (context, request) => admit(context, request),
      };
    },
    log: silentLog,
    metrics,
  });
  const handleLookup = handlers.handle(ConsoleServiceService.lookupConsoleToken, (_request, context) =>
    lookup(context),
  );
  const lookupConsoleToken: typeof handleLookup = (made, callback) => {
    made.on("cancelled", () => onServerEnd());
    handleLookup(made, callback);
  };
  const unused = (): void => undefined;
  const server = new GrpcServer({
    name: "test",
    listen: { host: "127.0.0.1", port: 0 },
    log: silentLog,
    requireRule: ruleOf,
    addServices: (grpc) =>
      grpc.addService(ConsoleServiceService, {
        lookupConsoleToken,
        getSpiceConsole: unused,
        revokeConsoleTokens: unused,
      }),
  });
  let client: ConsoleServiceClient;
  const call = (options?: CallOptions): Promise<CallResult<LookupConsoleTokenResponse>> =>
    callUnary(client.lookupConsoleToken.bind(client), { token: "t" }, options);

  before(async () => {
    await server.start();
    client = new ConsoleServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  });
  after(async () => {
    client.close();
    await server.stop();
  });
  beforeEach(() => {
    lookup = () => Promise.resolve(RESPONSE);
    onServerEnd = () => undefined;
    identify = () => tester;
    admit = () => undefined;
    asksWho = true;
  });

  it("answers with what the method returns", async () => {
    expect(await call()).to.deep.include({ ok: true, response: RESPONSE });
  });

  it("gives the method its caller, its deadline and the peer's address", async () => {
    const seen: RequestContext[] = [];
    lookup = (context) => {
      seen.push(context);
      expect(context.remainingMs()).to.be.within(1_000, 5_000);
      return Promise.resolve(RESPONSE);
    };
    await call({ ms: 5_000, headers: { "x-request-id": "req-7" } });
    expect(seen[0]).to.deep.include({ requestId: "req-7", clientAddress: "127.0.0.1" });
    expect(seen[0]?.caller.subject).to.equal("tester");
  });

  it("refuses whom nobody knows, before the method, and counts it", async () => {
    let called = false;
    lookup = () => {
      called = true;
      return Promise.resolve(RESPONSE);
    };
    identify = () => NOBODY;
    expect(await call()).to.have.nested.property("failure.reason", "UNAUTHENTICATED");
    expect(called).to.equal(false);
    expect(await registry.metrics()).to.contain('spicegate_authentication_failures_total{entrance="grpc"} 1');
  });

  it("shows the caller's bearer token and address to whoever knows callers", async () => {
    const shown: Credentials[] = [];
    identify = (credentials) => {
      shown.push(credentials);
      return tester;
    };
    await call();
    await call({ headers: { authorization: "bearer  abc" } });
    await call({ headers: { authorization: "Basic abc" } });
    expect(shown.map(({ token }) => token)).to.deep.equal([undefined, "abc", ""]);
    expect(shown[0]?.address).to.equal("127.0.0.1");
  });

  it("does not stop while it still asks who a caller is", async () => {
    const asked = new Promise<() => void>((resolve) => {
      identify = () => new Promise((know) => resolve(() => know(tester)));
    });
    const early = call();
    const know = await asked;
    let isStopped = false;
    const stopped = handlers.stop().then(() => (isStopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isStopped).to.equal(false);
    know();
    try {
      expect(await early).to.deep.include({ ok: true });
      await stopped;
    } finally {
      handlers.start();
    }
  });

  it("asks nobody who he is where that does not matter", async () => {
    identify = () => NOBODY;
    asksWho = false;
    lookup = ({ caller }) => {
      expect(caller).to.equal(NOBODY);
      return Promise.resolve(RESPONSE);
    };
    expect(await call()).to.deep.include({ ok: true });
  });

  it("asks the guard of the method before the method", async () => {
    const asked: unknown[] = [];
    admit = async ({ caller }, request) => {
      asked.push([caller.subject, request]);
      await Promise.resolve();
      throw new ServiceError("PERMISSION_DENIED", "no");
    };
    lookup = () => Promise.resolve(void asked.push("method")).then(() => RESPONSE);
    expect(await call()).to.have.nested.property("failure.reason", "PERMISSION_DENIED");
    expect(asked).to.deep.equal([["tester", { token: "t" }]]);
    expect(guarded).to.deep.equal(["/spicegate.console.v1.ConsoleService/LookupConsoleToken"]);
  });

  it("makes a request id where the caller's is missing or unusable", async () => {
    const seen: string[] = [];
    lookup = (context) => {
      seen.push(context.requestId);
      return Promise.resolve(RESPONSE);
    };
    await call();
    await call({ headers: { "x-request-id": "x".repeat(129) } });
    for (const id of seen) expect(id).to.match(/^[0-9a-f-]{36}$/);
  });

  it("repeats the request id in the headers of its answer, good or bad", async () => {
    const seen: unknown[] = [];
    const onCall: CallOptions["onCall"] = (made) =>
      made.on("metadata", (header: Metadata) => seen.push(header.get("x-request-id")[0]));
    await call({ headers: { "x-request-id": "good" }, onCall });
    lookup = () => Promise.reject(new ServiceError("TOKEN_NOT_FOUND", "no such token"));
    await call({ headers: { "x-request-id": "bad" }, onCall });
    expect(seen).to.deep.equal(["good", "bad"]);
  });

  it("turns a ServiceError into its status", async () => {
    lookup = () => Promise.reject(new ServiceError("TOKEN_NOT_FOUND", "no such token"));
    const result = await call();
    expect(result).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
    expect(result).to.have.nested.property("failure.message", "no such token");
  });

  it("hides an unknown error behind an id", async () => {
    lookup = () => Promise.reject(new TypeError("secret details"));
    const result = await call();
    if (result.ok) throw new Error("expected a failure");
    expect(result.failure.reason).to.equal("INTERNAL");
    expect(result.failure.message).to.not.include("secret");
    expect(result.failure.message).to.include(result.failure.info?.metadata["error_id"]);
  });

  it("aborts the method's signal when the caller cancels", async () => {
    const aborted = new Promise<void>((resolve) => {
      lookup = (context) => {
        const gone = new Promise<never>((_, reject) =>
          context.signal.addEventListener("abort", () => {
            resolve();
            reject(new ServiceError("CANCELLED", "the caller went away"));
          }),
        );
        cancel();
        return gone;
      };
    });
    let cancel = (): void => undefined;
    const result = call({ onCall: (made) => (cancel = () => made.cancel()) });
    await aborted;
    expect(await result).to.have.nested.property("failure.reason", "CANCELLED");
  });

  it("leaves the method's signal alone once it has answered", async () => {
    const over = new Promise<void>((resolve) => (onServerEnd = resolve));
    const seen: AbortSignal[] = [];
    lookup = ({ signal }) => {
      seen.push(signal);
      return Promise.resolve(RESPONSE);
    };
    await call();
    await over;
    expect(seen.map(({ aborted }) => aborted)).to.deep.equal([false]);
  });

  it("finishes the calls that run when it stops, and refuses new ones with DRAINING meanwhile", async () => {
    const begun = new Promise<() => void>((resolve) => {
      lookup = () => new Promise((answer) => resolve(() => answer(RESPONSE)));
    });
    const early = call();
    const finish = await begun;
    const stopped = handlers.stop();
    try {
      expect(await call()).to.have.nested.property("failure.reason", "DRAINING");
      finish();
      expect(await early).to.deep.include({ ok: true });
      await stopped;
    } finally {
      handlers.start();
    }
  });

  it("stops at once where no call runs, also after one that failed", async () => {
    lookup = () => Promise.reject(new ServiceError("TOKEN_NOT_FOUND", "no such token"));
    await call();
    await handlers.stop();
    await handlers.stop();
    handlers.start();
  });

  it("counts calls by method and reason", async () => {
    await call();
    expect(await registry.metrics()).to.match(
      /spicegate_rpc_seconds_count\{method="LookupConsoleToken",reason="OK"\} [1-9]/,
    );
  });
});
