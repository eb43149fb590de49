// SPDX-License-Identifier: Apache-2.0
// Both ends of the protocol: the service over a store in memory, and the client that a controller has.
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import type { Socket } from "node:net";
import { createServer } from "node:net";
import { ConsoleAuthServiceClient } from "../../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { addConsoleAuthService } from "../../../src/api/consoleauth-service.js";
import { LocalConsoleAuth } from "../../../src/consoleauth/local-console-auth.js";
import { MemoryStore } from "../../../src/consoleauth/memory-store.js";
import { RemoteConsoleAuth } from "../../../src/consoleauth/remote-console-auth.js";
import { LEGACY_CALL_MS } from "../../../src/lib/limits.js";
import { listen, portOf } from "../../../src/lib/listen.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import type { Role } from "../../../src/rpc/caller.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import { UnaryHandlers } from "../../../src/rpc/unary-handler.js";
import { createCallMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { DEFAULT_GATE } from "../../harness/default-gate.js";
import { callersAre } from "../../harness/callers.js";
import { callUnary } from "../../harness/grpc-client.js";
import { uuidOf } from "../../harness/inventory.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { rejectionOf } from "../../harness/rejection.js";

const LOOK = { consume: false };
const AT = { host: "127.0.0.1", port: 0 };

const TOKEN = "a-token";

describe("RemoteConsoleAuth", () => {
  const hash = hashNamed("a");
  let store: MemoryStore;
  let server: GrpcServer;
  let remote: RemoteConsoleAuth;
  let roles: readonly Role[];

  beforeEach(async () => {
    store = new MemoryStore();
    roles = ["service"];
    const caller = {
      subject: "s",
      project: "",
      get roles() {
        return roles;
      },
    };
    const callers = callersAre(({ token }) => (token === TOKEN ? caller : NOBODY));
    const handlers = new UnaryHandlers({
      callers,
      guardOf: DEFAULT_GATE.guardOf,
      log: silentLog,
      metrics: createCallMetrics(createRegistry()),
    });
    const local = new LocalConsoleAuth({ store, ttlSeconds: 600 });
    const addServices = (grpc: Parameters<typeof addConsoleAuthService>[0]): void =>
      addConsoleAuthService(grpc, handlers, local);
    server = new GrpcServer({ name: "test", listen: AT, log: silentLog, addServices, requireRule: ruleOf });
    await server.start();
    remote = new RemoteConsoleAuth(`127.0.0.1:${server.port}`, TOKEN);
  });

  afterEach(async () => {
    remote.stop();
    await server.stop();
  });

  it("keeps, checks, consumes and deletes in the other process", async () => {
    const console = legacyConsole();
    await remote.authorize(hash, console);
    expect(await remote.check(hash, LOOK)).to.deep.equal(console);
    expect(await remote.check(hash, { consume: true })).to.deep.equal(console);
    expect(await remote.check(hash, LOOK)).to.equal(undefined);
    await remote.authorize(hash, console);
    expect(await remote.deleteForInstance(uuidOf(2))).to.equal(0);
    expect(await remote.deleteForInstance(uuidOf(1))).to.equal(1);
    expect(await remote.check(hash, LOOK)).to.equal(undefined);
  });

  it("is LEGACY_STORE_UNAVAILABLE while nobody is there, and works as soon as somebody is", async () => {
    const gone = createServer();
    await listen(gone, { name: "gone", at: AT, log: silentLog });
    const port = portOf(gone);
    await new Promise((resolve) => gone.close(resolve));
    const late = new RemoteConsoleAuth(`127.0.0.1:${port}`, undefined);
    const error = await rejectionOf(late.check(hash, LOOK));
    expect(error).to.be.instanceOf(ServiceError).with.property("reason", "LEGACY_STORE_UNAVAILABLE");
    expect(error.message).not.to.include("127.0.0.1");
    expect(String(error.cause)).to.include("ECONNREFUSED");
    late.stop();
  });

  it("waits no longer than its deadline for one that takes connections and says nothing", async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => sockets.push(socket));
    await listen(mute, { name: "mute", at: AT, log: silentLog });
    const waiting = new RemoteConsoleAuth(`127.0.0.1:${portOf(mute)}`, undefined);
    const startedAt = performance.now();
    const error = await rejectionOf(waiting.deleteForInstance(uuidOf(1)));
    expect(performance.now() - startedAt).to.be.within(LEGACY_CALL_MS - 50, LEGACY_CALL_MS + 1_000);
    expect(error).to.have.property("reason", "LEGACY_STORE_UNAVAILABLE");
    waiting.stop();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  });

  it("is refused without the verb, and that is the store's trouble too", async () => {
    for (const role of ["member", "reader", "auditor"] as const) {
      roles = [role];
      for (const call of [
        remote.authorize(hash, legacyConsole()),
        remote.check(hash, LOOK),
        remote.deleteForInstance(uuidOf(1)),
      ]) {
        const error = await rejectionOf(call);
        expect(error).to.have.property("reason", "LEGACY_STORE_UNAVAILABLE");
        expect(String(error.cause)).to.include("PERMISSION_DENIED");
      }
    }
    expect(store.size).to.equal(0);
  });

  it("is refused without its token, and says which setting it comes from", async () => {
    const stranger = new RemoteConsoleAuth(`127.0.0.1:${server.port}`, undefined);
    const { cause } = await rejectionOf(stranger.check(hash, LOOK));
    expect(String(cause)).to.include("UNAUTHENTICATED").and.include("consoleauth.token_file");
    stranger.stop();
  });

  it("answers what cannot be meant with INVALID_ARGUMENT", async () => {
    const client = new ConsoleAuthServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const headers = { authorization: `Bearer ${TOKEN}` };
    const failures = [
      await callUnary(client.authorizeConsole.bind(client), { tokenHash: "x", console: undefined }, { headers }),
      await callUnary(client.authorizeConsole.bind(client), { tokenHash: hash, console: undefined }, { headers }),
      await callUnary(client.checkToken.bind(client), { tokenHash: "", consume: false }, { headers }),
      await callUnary(client.deleteTokensForInstance.bind(client), { instanceUuid: "x" }, { headers }),
    ];
    for (const failure of failures) expect(failure).to.have.nested.property("failure.reason", "INVALID_ARGUMENT");
    client.close();
  });
});
