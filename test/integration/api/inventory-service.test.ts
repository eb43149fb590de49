// SPDX-License-Identifier: Apache-2.0
// WatchInstances as its callers see it: real gRPC, real Postgres.
import type { ClientReadableStream, ServiceError as GrpcError } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import type { WatchInstancesResponse } from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import {
  InventoryServiceClient,
  PowerState,
  WatchInstancesRequest,
} from "../../../proto/gen/spicegate/inventory/v1/inventory.js";
import { addInventoryService } from "../../../src/api/inventory-service.js";
import { InstanceAccess } from "../../../src/console/instance-access.js";
import { ManageInventory } from "../../../src/console/manage-inventory.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { silentLog } from "../../../src/lib/log.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import { StreamHandlers } from "../../../src/rpc/stream-handler.js";
import { UnaryHandlers } from "../../../src/rpc/unary-handler.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { DEFAULT_GATE } from "../../harness/default-gate.js";
import { callersAre } from "../../harness/callers.js";
import { errorDetails } from "../../harness/grpc-client.js";
import { ACTOR, domainOf, registrationOf, registryOn, TestAgent, uuidOf } from "../../harness/inventory.js";
import { TestDatabase } from "../../harness/test-database.js";
import { until, within } from "../../harness/within.js";

const VM = uuidOf(1);
const OTHER = uuidOf(2);
const ADMIN: Caller = { subject: "root", project: "", roles: ["admin"] };
const MEMBER: Caller = { subject: "alice", project: "p1", roles: ["member"] };

/** The messages of a watch, one after the other. */
class Watch {
  /** The reason that it fails with. */
  readonly failure: Promise<string>;
  readonly #call: ClientReadableStream<WatchInstancesResponse>;
  readonly #messages: WatchInstancesResponse[] = [];

  constructor(call: ClientReadableStream<WatchInstancesResponse>) {
    this.#call = call;
    call.on("data", (message: WatchInstancesResponse) => void this.#messages.push(message));
    this.failure = new Promise((resolve) => {
      call.on("error", (error: GrpcError) => resolve(errorDetails(error.metadata).info?.reason ?? error.details));
    });
  }

  /** What the next message says, in short, behind its number. */
  async next(): Promise<string> {
    await until("the next step of a watch", () => this.#messages.length > 0);
    const { revision, event } = this.#messages.shift()!;
    if (event?.$case === "instance") return `${revision} ${event.instance.instanceUuid} ${event.instance.name}`;
    return `${revision} ${event?.$case === "removed" ? `- ${event.removed.instanceUuid}` : event?.$case}`;
  }

  cancel(): void {
    this.#call.cancel();
  }
}

describe("WatchInstances", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let streams: StreamHandlers;
  let server: GrpcServer;
  let client: InventoryServiceClient;
  let watches: Watch[];

  before(async () => {
    db = await TestDatabase.create();
  });

  beforeEach(async () => {
    await db.clear();
    watches = [];
    registry = registryOn(db.database);
    await registry.register(registrationOf(VM, { name: "ours", projectId: "p1" }));
    await registry.register(registrationOf(OTHER, { name: "theirs", projectId: "p2" }));
    registry.start();
    await registry.loaded();
  });

  afterEach(async () => {
    for (const watch of watches) watch.cancel();
    await streams.stop();
    client.close();
    await server.stop();
    await registry.stop();
  });

  after(async () => {
    await db.stop();
  });

  async function serve(caller: Caller): Promise<void> {
    const { database } = db;
    const log = silentLog;
    const callers = callersAre(caller);
    const calls = { callers, guardOf: DEFAULT_GATE.guardOf, log, metrics: createControllerMetrics(createRegistry()) };
    const handlers = new UnaryHandlers(calls);
    streams = new StreamHandlers(calls);
    const access = new InstanceAccess({ instances: registry, refusals: { record: () => undefined }, database });
    const legacy = { forget: () => Promise.resolve() };
    const inventory = new ManageInventory({ access, instances: registry, legacy });
    server = new GrpcServer({
      name: "test",
      listen: { host: "127.0.0.1", port: 0 },
      log,
      requireRule: ruleOf,
      addServices: (to) => addInventoryService(to, { handlers, streams, inventory }),
    });
    await server.start();
    client = new InventoryServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
  }

  function watch(request: Partial<WatchInstancesRequest> = {}): Watch {
    const begun = new Watch(client.watchInstances(WatchInstancesRequest.fromPartial(request)));
    watches.push(begun);
    return begun;
  }

  it("shows an administrator everything, numbered, and what becomes of it", async () => {
    await serve(ADMIN);
    const all = watch();
    expect([await all.next(), await all.next()].sort()).to.deep.equal([`1 ${VM} ours`, `2 ${OTHER} theirs`]);
    expect(await all.next()).to.equal("3 synced");
    await registry.update(VM, { name: "renamed" });
    expect(await all.next()).to.equal(`4 ${VM} renamed`);
    await registry.delete(OTHER, ACTOR);
    expect(await all.next()).to.equal(`5 - ${OTHER}`);
    expect(registry.watchCount()).to.equal(1);
  });

  it("shows a member its own project only, and what leaves it as removed", async () => {
    await serve(MEMBER);
    const ours = watch();
    const asked = watch({ projectId: "p2" });
    expect([await ours.next(), await ours.next()]).to.deep.equal([`1 ${VM} ours`, "2 synced"]);
    expect(await asked.next()).to.equal("1 synced");
    await registry.update(OTHER, { name: "still theirs" });
    await registry.update(VM, { projectId: "p2" });
    expect(await ours.next()).to.equal(`3 - ${VM}`);
    await registry.update(OTHER, { projectId: "p1" });
    expect(await ours.next()).to.equal(`4 ${OTHER} still theirs`);
  });

  it("shows a member without a project nothing, also nothing that has none", async () => {
    await registry.register(registrationOf(uuidOf(3)));
    await serve({ ...MEMBER, project: "" });
    expect(await watch().next()).to.equal("1 synced");
  });

  it("filters by host, name and power state", async () => {
    const agent = await TestAgent.connect(registry, "a");
    await agent.snapshot([domainOf(VM, "running"), domainOf(OTHER, "paused")]);
    await serve(ADMIN);
    for (const filter of [
      { name: "ours", host: "a" },
      { powerState: PowerState.POWER_STATE_RUNNING },
      { projectId: "p1" },
    ]) {
      const one = watch(filter);
      expect([await one.next(), await one.next()]).to.deep.equal([`1 ${VM} ours`, "2 synced"]);
    }
    expect(await watch({ host: "b" }).next()).to.equal("1 synced");
    const paused = watch({ powerState: PowerState.POWER_STATE_PAUSED });
    expect([await paused.next(), await paused.next()]).to.deep.equal([`1 ${OTHER} theirs`, "2 synced"]);
    await agent.event("resumed", domainOf(OTHER, "running"));
    expect(await paused.next()).to.equal(`3 - ${OTHER}`);
  });

  it("refuses a filter that is none, and says DRAINING when the controller stops", async () => {
    await serve(ADMIN);
    expect(await watch({ host: "a\0b" }).failure).to.equal("INVALID_ARGUMENT");
    const going = watch({ name: "nothing" });
    await going.next();
    await streams.stop();
    expect(await within("the end", going.failure)).to.equal("DRAINING");
    await until("the end of the watch", () => registry.watchCount() === 0);
  });
});
