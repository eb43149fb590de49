// SPDX-License-Identifier: Apache-2.0
// The legacy way behind workarounds.enable_consoleauth: kept by the controller, by a service of its own, in memcached; down;
// and off. The host's agent is a scripted one, since nothing here depends on a display.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { AgentRequest } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { LookupConsoleTokenResponse } from "../../proto/gen/spicegate/console/v1/console.js";
import type { FakeAnswer } from "../fakes/fake-agent.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../fakes/fake-agent.js";
import type { Settings } from "../harness/deployment.js";
import { Deployment, hashOf } from "../harness/deployment.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { checkHealth } from "../harness/health-client.js";
import { register, remove, responseOf, update } from "../harness/inventory-calls.js";
import { LegacyStoreClient } from "../harness/legacy-store-client.js";
import { Memcached } from "../harness/memcached.js";
import { freeze } from "../harness/process-facts.js";
import { runStatement } from "../harness/test-database.js";
import { postToken, tokenOf } from "../harness/viewer.js";
import { WireTap } from "../harness/wire-tap.js";

const HOST = "host-1";
const SERVICE = "spicegate.consoleauth.v1.ConsoleAuthService";
const ON = { workarounds: { enable_consoleauth: true } };

/** Where a deployment keeps its legacy tokens, and how that is begun and ended. */
interface LegacyPlace {
  readonly settings: Settings;
  /** The address of ConsoleAuthService; undefined: the controller's own API. */
  readonly address?: string;
  readonly start?: (deployment: Deployment) => Promise<void>;
  readonly stop?: () => Promise<void>;
  /** Everything that was written down or said on the way to it, as far as the place can tell. */
  readonly seen?: () => Promise<string>;
}

/** Free addresses on loopback. */
async function addresses(count: number): Promise<readonly string[]> {
  const found: string[] = [];
  while (found.length < count) found.push(`127.0.0.1:${await freePort()}`);
  return found;
}

function answer(request: AgentRequest): FakeAnswer {
  if (request.operation?.$case === "validateConsolePort") return { $case: "consolePortValid", consolePortValid: {} };
  return FAKE_ENDPOINT;
}

/** A deployment with a scripted agent, and the calls of these tests. */
class World {
  readonly deployment: Deployment;
  readonly legacy: LegacyStoreClient;
  #agent: FakeAgent | undefined;
  readonly #uuids: string[] = [];

  private constructor(deployment: Deployment, address: string) {
    this.deployment = deployment;
    this.legacy = new LegacyStoreClient(address);
  }

  static async start(settings: Settings, address?: string): Promise<World> {
    const deployment = await Deployment.start({ controller: settings });
    const world = new World(deployment, address ?? deployment.api);
    world.#agent = await FakeAgent.connect(deployment.agents, { host: HOST, answer });
    return world;
  }

  async stop(): Promise<void> {
    this.#agent?.close();
    this.legacy.close();
    await this.deployment.stop();
  }

  /** A new instance that runs on the host. */
  async instance(): Promise<string> {
    const uuid = randomUUID();
    this.#uuids.push(uuid);
    this.#agent?.snapshot(this.#uuids.map((each) => fakeDomain(each)));
    await this.deployment.knows(uuid);
    return uuid;
  }

  async issue(uuid: string): Promise<string> {
    return tokenOf(responseOf(await this.deployment.getConsole(uuid)).url);
  }

  async rows(token: string): Promise<number> {
    const text = "select id from console_auth_tokens where token_hash = $1";
    return (await runStatement(this.deployment.databaseUrl, text, [hashOf(token)])).length;
  }

  /** "OK", or why a browser cannot open the console. */
  async open(token: string): Promise<string> {
    const { status, body } = await postToken(this.deployment.proxy, token);
    return status === 201 ? "OK" : String(body["reason"]);
  }

  lookup(token: string): Promise<CallResult<LookupConsoleTokenResponse>> {
    const { console } = this.deployment;
    return callUnary(console.lookupConsoleToken.bind(console), { token });
  }

  async revoke(instanceUuid: string): Promise<number> {
    const { console } = this.deployment;
    return responseOf(await callUnary(console.revokeConsoleTokens.bind(console), { instanceUuid })).revoked;
  }

  checks(result: string): Promise<number> {
    return this.deployment.metric(`spicegate_consoleauth_checks_total{result="${result}"}`);
  }

  /** How many lines of the controller's log say this. */
  logged(text: string): number {
    return this.deployment.controllerLog().filter(({ msg }) => String(msg).includes(text)).length;
  }
}

/** Kept by the controller itself. */
function inTheController(): Promise<LegacyPlace> {
  return Promise.resolve({ settings: ON });
}

/** Kept by `spicegate consoleauth`, with somebody who listens on the way to it. */
async function inAServiceOfItsOwn(): Promise<LegacyPlace> {
  const [at = "", listen = "", telemetry = ""] = await addresses(3);
  const tap = new WireTap(at, listen);
  return {
    address: listen,
    settings: { ...ON, consoleauth: { address: at, listen, telemetry_listen: telemetry } },
    start: async (deployment) => {
      await tap.start();
      await deployment.addConsoleAuth(telemetry).start();
    },
    stop: () => tap.stop(),
    seen: () => Promise.resolve(tap.heard()),
  };
}

/** Kept in memcached, with somebody who listens on the way to it. */
async function inMemcached(): Promise<LegacyPlace> {
  const [at = ""] = await addresses(1);
  const memcached = await Memcached.create();
  const tap = new WireTap(at, memcached.address);
  await memcached.start();
  await tap.start();
  return {
    settings: { ...ON, cache: { enabled: true, memcache_servers: [at] } },
    stop: async () => {
      await tap.stop();
      await memcached.stop();
    },
    seen: async () => tap.heard() + JSON.stringify([...(await memcached.dump())]),
  };
}

const PLACES = {
  "the controller itself": inTheController,
  "a service of its own": inAServiceOfItsOwn,
  memcached: inMemcached,
};

for (const [name, create] of Object.entries(PLACES)) {
  describe(`consoleauth in ${name}`, function () {
    this.timeout(60_000);
    let place: LegacyPlace;
    let world: World;

    before(async () => {
      place = await create();
      world = await World.start(place.settings, place.address);
      await place.start?.(world.deployment);
    });

    after(async () => {
      await world.stop();
      await place.stop?.();
    });

    it("gets every token that is issued, beside the database, and neither has it in plain", async () => {
      const uuid = await world.instance();
      const token = await world.issue(uuid);
      expect(await world.rows(token)).to.equal(1);
      const [row] = await runStatement<{ expires: bigint }>(
        world.deployment.databaseUrl,
        "select expires from console_auth_tokens where token_hash = $1",
        [hashOf(token)],
      );
      expect(await world.legacy.find(token)).to.deep.include({
        ...{ instanceUuid: uuid, consoleType: "spice-html5", host: "127.0.0.1", port: 5900, createdBy: "loopback" },
        expiresAt: new Date(Number(row?.expires) * 1_000),
      });
      if (place.seen)
        expect(await place.seen())
          .to.include(hashOf(token))
          .and.not.include(token);
    });

    it("opens a token that only it knows, once, and has forgotten it then", async () => {
      const token = await world.legacy.issue(await world.instance());
      const before = await world.checks("legacy-only");
      expect(await world.open(token)).to.equal("OK");
      expect(await world.checks("legacy-only")).to.equal(before + 1);
      expect(await world.legacy.find(token)).to.equal(undefined);
      expect(await world.open(token)).to.equal("TOKEN_USED");
      const adopted = await runStatement(
        world.deployment.databaseUrl,
        `select a.action, t.created_by from audit_events a join console_auth_tokens t on t.id = a.token_id
         where t.token_hash = $1 and a.action = 'adopted'`,
        [hashOf(token)],
      );
      expect(adopted).to.deep.equal([{ action: "adopted", created_by: "nova" }]);
      if (place.seen) expect(await place.seen()).not.to.include(token);
    });

    it("gives one of five who open such a token at the same instant the session", async () => {
      const token = await world.legacy.issue(await world.instance());
      const outcomes = await Promise.all(Array.from({ length: 5 }, () => world.open(token)));
      expect(outcomes.sort()).to.deep.equal(["OK", "TOKEN_USED", "TOKEN_USED", "TOKEN_USED", "TOKEN_USED"]);
    });

    it("is asked first, and what both know stays there", async () => {
      const token = await world.issue(await world.instance());
      const before = await world.checks("both");
      expect(await world.open(token)).to.equal("OK");
      expect(await world.checks("both")).to.equal(before + 1);
      expect(await world.legacy.find(token)).not.to.equal(undefined);
    });

    it("does not make a used token good again", async () => {
      const token = await world.issue(await world.instance());
      expect(await world.open(token)).to.equal("OK");
      expect(await world.legacy.find(token)).not.to.equal(undefined);
      expect(await world.open(token)).to.equal("TOKEN_USED");
      expect(await world.lookup(token)).to.have.nested.property("failure.reason", "TOKEN_NOT_FOUND");
    });

    it("leaves a token that it does not know to the database", async () => {
      const uuid = await world.instance();
      const token = await world.issue(uuid);
      expect(await world.legacy.forget(uuid)).to.equal(1);
      const before = await world.checks("miss");
      responseOf(await world.lookup(token));
      expect(await world.open(token)).to.equal("OK");
      expect(await world.checks("miss")).to.equal(before + 2);
    });

    it("lets a token that only it knows be looked up, which uses it up nowhere", async () => {
      const uuid = await world.instance();
      const token = await world.legacy.issue(uuid);
      for (let times = 0; times < 2; times += 1) {
        expect(responseOf(await world.lookup(token))).to.deep.include({ instanceUuid: uuid, port: 5900 });
      }
      expect(await world.legacy.find(token)).not.to.equal(undefined);
      expect(await world.open(token)).to.equal("OK");
    });

    it("forgets an instance's tokens with the instance, and with a revocation", async () => {
      const [deleted, revoked] = [await world.instance(), await world.instance()];
      const tokens = [await world.issue(deleted), await world.issue(revoked)];
      const legacy = [await world.legacy.issue(deleted), await world.legacy.issue(revoked)];
      expect(responseOf(await remove(world.deployment, deleted)).revokedTokens).to.equal(1);
      expect(await world.revoke(revoked)).to.equal(1);
      for (const token of [...tokens, ...legacy]) {
        expect(await world.legacy.find(token)).to.equal(undefined);
        expect(await world.open(token)).to.equal("TOKEN_INVALID");
      }
    });

    it("forgets an instance's tokens when its live migration starts; the rows stay", async () => {
      const [updated, registered] = [await world.instance(), await world.instance()];
      const tokens = [await world.issue(updated), await world.issue(registered)];
      await register(world.deployment, { instanceUuid: updated, host: HOST, vmState: "active" });
      for (const token of tokens) expect(await world.legacy.find(token)).not.to.equal(undefined);
      const migrating = { taskState: "migrating", host: HOST };
      responseOf(await update(world.deployment, { instanceUuid: updated, ...migrating }, ["task_state"]));
      await register(world.deployment, { instanceUuid: registered, ...migrating });
      for (const token of tokens) {
        expect(await world.legacy.find(token)).to.equal(undefined);
        expect(await world.rows(token)).to.equal(1);
      }
    });

    it("keeps an instance's tokens through everything else that happens to it", async () => {
      const uuid = await world.instance();
      const token = await world.issue(uuid);
      await register(world.deployment, { instanceUuid: uuid, host: HOST, vmState: "active" });
      for (const taskState of ["resize_migrating", "rebooting", ""]) {
        responseOf(await update(world.deployment, { instanceUuid: uuid, taskState }, ["task_state"]));
      }
      expect(await world.legacy.find(token)).not.to.equal(undefined);
    });

    it("is served, and known to health checks, where it is kept", async () => {
      const { api } = world.deployment;
      expect(await checkHealth(place.address ?? api, SERVICE)).to.equal("SERVING");
      if (place.address !== undefined) expect(await checkHealth(api, SERVICE)).not.to.equal("SERVING");
    });

    it("refuses what makes no sense with a reason", async () => {
      const result = await world.legacy.check("x");
      expect(result).to.have.nested.property("failure.info.metadata.field", "token_hash");
    });
  });
}

describe("consoleauth, down", function () {
  this.timeout(60_000);
  const FAILS = "legacy store of console tokens fails";
  const BACK = "legacy store of console tokens is back";
  let world: World;
  let service: ChildProgram;

  beforeEach(async () => {
    const [listen = "", telemetry = ""] = await addresses(2);
    const consoleauth = { address: listen, listen, telemetry_listen: telemetry };
    world = await World.start({ ...ON, consoleauth }, listen);
    service = world.deployment.addConsoleAuth(telemetry);
  });

  afterEach(() => world.stop());

  /** The database answers alone, every use case works, all is counted, and one line is logged. */
  async function databaseAnswersAlone(): Promise<void> {
    const lines = world.logged(FAILS);
    const [opened, revoked, deleted] = [await world.instance(), await world.instance(), await world.instance()];
    const [failed, unwritten] = [await world.checks("failed"), await writeFailures("authorize")];
    const token = await world.issue(opened);
    await world.issue(revoked);
    responseOf(await world.lookup(token));
    expect(await world.open(token)).to.equal("OK");
    expect(await world.open(token)).to.equal("TOKEN_USED");
    expect(await world.revoke(revoked)).to.equal(1);
    responseOf(await remove(world.deployment, deleted));
    expect(await world.checks("failed")).to.equal(failed + 3);
    expect(await writeFailures("authorize")).to.equal(unwritten + 2);
    expect(await writeFailures("delete")).to.be.at.least(2);
    expect(world.logged(FAILS)).to.equal(lines === 0 ? 1 : lines);
  }

  function writeFailures(operation: string): Promise<number> {
    return world.deployment.metric(`spicegate_consoleauth_write_failures_total{operation="${operation}"}`);
  }

  async function comesBack(): Promise<void> {
    const uuid = await world.instance();
    const back = async (): Promise<boolean> => {
      await world.issue(uuid);
      return world.logged(BACK) > 0;
    };
    await waitUntil(back, { ms: 15_000, what: "the controller to log that the legacy store is back" });
    expect(await world.legacy.find(await world.issue(uuid))).not.to.equal(undefined);
    expect(world.logged(BACK)).to.equal(1);
  }

  it("not started: falls back to the database, counts, logs once; and once when it is there", async () => {
    await databaseAnswersAlone();
    await service.start();
    await comesBack();
  });

  it("killed: falls back; what it alone knew is gone with it, as with Nova's", async () => {
    await service.start();
    const token = await world.legacy.issue(await world.instance());
    service.kill("SIGKILL");
    await service.ended;
    await databaseAnswersAlone();
    expect(await world.open(token)).to.equal("TOKEN_INVALID");
    await service.start();
    await comesBack();
    expect(await world.open(token)).to.equal("TOKEN_INVALID");
  });

  it("frozen: falls back after a second; what it alone knows opens again when it goes on", async () => {
    await service.start();
    const [legacy, revoked] = [await world.legacy.issue(await world.instance()), await world.instance()];
    const kept = await world.issue(revoked);
    await freeze(service.pid);
    await databaseAnswersAlone();
    expect(await world.revoke(revoked)).to.equal(1);
    expect(await world.open(legacy)).to.equal("TOKEN_INVALID");
    service.kill("SIGCONT");
    await comesBack();
    expect(await world.open(legacy)).to.equal("OK");
    expect(await world.open(kept), "revoked while it could not be told").to.equal("TOKEN_INVALID");
  });

  it("stops in order, and forgets what it kept in its memory", async () => {
    await service.start();
    const uuid = await world.instance();
    const token = await world.legacy.issue(uuid);
    await service.stop();
    expect(await service.ended).to.equal("exit code 0");
    await service.start();
    expect(await world.legacy.find(token)).to.equal(undefined);
  });
});

describe("consoleauth, off", function () {
  this.timeout(60_000);
  let tap: WireTap;
  let cache: WireTap;
  let world: World;

  before(async () => {
    const [address = "", memcached = ""] = await addresses(2);
    tap = new WireTap(address);
    cache = new WireTap(memcached);
    await Promise.all([tap.start(), cache.start()]);
    const elsewhere = { consoleauth: { address }, cache: { enabled: true, memcache_servers: [memcached] } };
    world = await World.start(elsewhere);
  });

  after(async () => {
    await world.stop();
    await Promise.all([tap.stop(), cache.stop()]);
  });

  it("is never contacted, whatever is asked of the controller", async () => {
    const [first, second, third] = [await world.instance(), await world.instance(), await world.instance()];
    const token = await world.issue(first);
    responseOf(await world.lookup(token));
    expect(await world.open(token)).to.equal("OK");
    expect(await world.open("A".repeat(43))).to.equal("TOKEN_INVALID");
    await world.revoke(second);
    await register(world.deployment, { instanceUuid: second, taskState: "migrating", host: HOST });
    responseOf(await remove(world.deployment, third));
    expect([tap.connections, cache.connections]).to.deep.equal([0, 0]);
    expect(await world.checks("miss")).to.equal(0);
  });

  it("is not served either", async () => {
    const result = await world.legacy.check(hashOf("x"));
    expect(result).to.have.nested.property("failure.reason", "UNIMPLEMENTED");
    expect(await checkHealth(world.deployment.api, SERVICE)).not.to.equal("SERVING");
  });
});
