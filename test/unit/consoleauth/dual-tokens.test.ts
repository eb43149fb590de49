// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import type { Adoption } from "../../../src/consoleauth/adopted-tokens.js";
import { storeUnavailable } from "../../../src/consoleauth/authorization-store.js";
import type { AuthorizedConsole, ConsoleAuth } from "../../../src/consoleauth/console-auth.js";
import { DualTokens } from "../../../src/consoleauth/dual-tokens.js";
import {
  LEGACY_CALL_MS,
  MAX_LEGACY_CALLS,
  MAX_WAITING_LEGACY_CALLS,
  OUTAGE_SETTLES_MS,
} from "../../../src/lib/limits.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { Gate } from "../../harness/gate.js";
import { hashNamed, legacyConsole } from "../../harness/legacy-consoles.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until } from "../../harness/within.js";

const HASH = hashNamed("a");
const USE = { consume: true };
const LOOK = { consume: false };

/** A legacy store and a database that write down what they are asked. */
class World implements ConsoleAuth {
  readonly steps: string[] = [];
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly #registry = new Registry();
  known: AuthorizedConsole | undefined = legacyConsole();
  adoption: Adoption = "adopted";
  down = false;
  /** The one kind of step that fails while it is not down. */
  failing: string | undefined;
  databaseDown = false;
  gate: Gate | undefined;
  readonly #metrics = createControllerMetrics(this.#registry);
  readonly tokens = this.createTokens();

  createTokens({ reusable = false } = {}): DualTokens {
    return new DualTokens({
      legacy: this,
      adopted: { adopt: (hash, console) => this.#adopt(hash, console) },
      reusable,
      metrics: this.#metrics,
      log: this.log.log,
      clock: this.clock,
    });
  }

  authorize(tokenHash: string, console: AuthorizedConsole): Promise<void> {
    return this.#step(`authorize ${tokenHash} for ${console.createdBy}`, undefined);
  }

  check(tokenHash: string, { consume }: { readonly consume: boolean }): Promise<AuthorizedConsole | undefined> {
    return this.#step(`${consume ? "consume" : "check"} ${tokenHash}`, this.known);
  }

  deleteForInstance(instanceUuid: string): Promise<number> {
    return this.#step(`delete ${instanceUuid}`, 1);
  }

  async metric(name: string, labels: Record<string, string>): Promise<number> {
    const metrics = await this.#registry.getMetricsAsJSON();
    const values = metrics.find((metric) => metric.name === `spicegate_consoleauth_${name}_total`)?.values ?? [];
    const wanted = Object.entries(labels);
    return values.find((sample) => wanted.every(([label, value]) => sample.labels[label] === value))?.value ?? 0;
  }

  async #step<T>(what: string, answer: T): Promise<T> {
    this.steps.push(what);
    await this.gate?.passed;
    if (this.down || what.split(" ")[0] === this.failing) throw storeUnavailable(new Error("gone"));
    return answer;
  }

  #adopt(hash: string, console: AuthorizedConsole): Promise<Adoption> {
    this.steps.push(`adopt ${hash} of ${console.createdBy}`);
    if (this.databaseDown) return Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "gone"));
    return Promise.resolve(this.adoption);
  }
}

describe("DualTokens", () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  it("writes an issued token to the legacy store, and forgets an instance's there", async () => {
    await world.tokens.issued(HASH, legacyConsole());
    await world.tokens.forget("an instance");
    expect(world.steps).to.deep.equal([`authorize ${HASH} for bob`, "delete an instance"]);
  });

  it("asks the legacy store first and brings what it knows into the database", async () => {
    await world.tokens.bringIn(HASH, LOOK);
    expect(world.steps).to.deep.equal([`check ${HASH}`, `adopt ${HASH} of bob`]);
    expect(await world.metric("checks", { result: "legacy-only" })).to.equal(1);
  });

  it("has the legacy store forget what only it knew, once the row is there", async () => {
    await world.tokens.bringIn(HASH, USE);
    expect(world.steps).to.deep.equal([`check ${HASH}`, `adopt ${HASH} of bob`, `consume ${HASH}`]);
  });

  it("leaves it there where tokens can be used again", async () => {
    await world.createTokens({ reusable: true }).bringIn(HASH, USE);
    expect(world.steps).to.deep.equal([`check ${HASH}`, `adopt ${HASH} of bob`]);
  });

  it("leaves what both knew where it is", async () => {
    world.adoption = "known";
    await world.tokens.bringIn(HASH, USE);
    expect(world.steps).to.deep.equal([`check ${HASH}`, `adopt ${HASH} of bob`]);
    expect(await world.metric("checks", { result: "both" })).to.equal(1);
  });

  it("counts what only the legacy store knew and the database refuses", async () => {
    world.adoption = "refused";
    await world.tokens.bringIn(HASH, USE);
    expect(world.steps).to.have.length(2);
    expect(await world.metric("checks", { result: "stale" })).to.equal(1);
  });

  it("leaves what the legacy store does not know to the database", async () => {
    world.known = undefined;
    await world.tokens.bringIn(HASH, USE);
    expect(world.steps).to.deep.equal([`check ${HASH}`]);
    expect(await world.metric("checks", { result: "miss" })).to.equal(1);
  });

  it("throws what the database throws: nothing is known then", async () => {
    world.databaseDown = true;
    expect(reasonOf(await rejectionOf(world.tokens.bringIn(HASH, USE)))).to.equal("DATABASE_UNAVAILABLE");
    expect(world.log.at("warn")).to.deep.equal([]);
  });

  it("never fails because the legacy store is down: it counts, and logs once", async () => {
    world.down = true;
    await world.tokens.issued(HASH, legacyConsole());
    await world.tokens.bringIn(HASH, USE);
    await world.tokens.forget("an instance");
    expect(world.steps).to.have.length(3);
    expect(await world.metric("checks", { result: "failed" })).to.equal(1);
    expect(await world.metric("write_failures", { operation: "authorize" })).to.equal(1);
    expect(await world.metric("write_failures", { operation: "delete" })).to.equal(1);
    const [line, ...others] = world.log.at("warn");
    expect(others).to.deep.equal([]);
    expect(line).to.have.property("msg", "the legacy store of console tokens fails: the database answers alone");
    expect(JSON.stringify(line)).to.include("gone").and.not.include(HASH);
  });

  it("counts a token that the legacy store did not forget, and lets it be used all the same", async () => {
    world.failing = "consume";
    await world.tokens.bringIn(HASH, USE);
    expect(await world.metric("write_failures", { operation: "consume" })).to.equal(1);
  });

  it("logs once that the legacy store is back, when nothing has failed for a while, and the next outage anew", async () => {
    for (const round of [1, 2]) {
      world.down = true;
      await world.tokens.forget("i");
      world.clock.advance(OUTAGE_SETTLES_MS - 1);
      world.down = false;
      await world.tokens.forget("i");
      expect(world.log.at("info"), "one server of two may still fail").to.have.length(round - 1);
      world.clock.advance(1);
      await world.tokens.forget("i");
      await world.tokens.forget("i");
      expect(world.log.at("info")).to.have.length(round);
      expect(world.log.at("warn")).to.have.length(round);
    }
  });

  it("lets no crowd wait for a legacy store that hangs, nor writers wait for that crowd", async () => {
    world.gate = new Gate();
    const asked = MAX_LEGACY_CALLS + MAX_WAITING_LEGACY_CALLS;
    const crowd = Array.from({ length: asked }, () => world.tokens.bringIn(HASH, LOOK));
    await world.tokens.bringIn(HASH, LOOK);
    expect(await world.metric("checks", { result: "failed" })).to.equal(1);
    const writing = world.tokens.forget("an instance");
    await until("the write", () => world.steps.length === MAX_LEGACY_CALLS + 1);
    world.clock.advance(LEGACY_CALL_MS);
    await Promise.all(crowd.slice(MAX_LEGACY_CALLS));
    expect(await world.metric("checks", { result: "failed" })).to.equal(1 + MAX_WAITING_LEGACY_CALLS);
    world.gate.open();
    await Promise.all([...crowd, writing]);
    expect(world.steps.filter((step) => step.startsWith("adopt"))).to.have.length(MAX_LEGACY_CALLS);
  });
});
