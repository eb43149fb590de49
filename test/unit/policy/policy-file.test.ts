// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { FILES_INTERVAL_MS } from "../../../src/lib/limits.js";
import { PolicyFile } from "../../../src/policy/policy-file.js";
import { Policy } from "../../../src/policy/policy.js";
import type { Role } from "../../../src/rpc/caller.js";
import { createCallMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { until } from "../../harness/within.js";

describe("PolicyFile", () => {
  const folder = mkdtempSync(join(tmpdir(), "policy-"));
  const file = join(folder, "policy.yaml");
  let clock: FakeClock;
  let log: FakeLog;
  let registry: Registry;
  let policy: Policy;
  let part: PolicyFile;

  beforeEach(() => {
    clock = new FakeClock();
    log = new FakeLog();
    registry = new Registry();
    policy = new Policy();
    writeFileSync(file, "host:read: [admin]");
    part = new PolicyFile({ file, policy, metrics: createCallMetrics(registry), log: log.log, clock });
  });
  afterEach(() => part.stop());
  after(() => rmSync(folder, { recursive: true }));

  const mayReadHosts = (role: Role): boolean =>
    policy.allows({ subject: "s", project: "p", roles: [role] }, "host:read");

  async function look(times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      await until("the last look to end", () => clock.waiting === 1);
      clock.advance(FILES_INTERVAL_MS);
    }
    await until("the look to end", () => clock.waiting === 1);
  }

  it("puts the table into effect at the start, and says what nobody may do", () => {
    part.start();
    expect([mayReadHosts("admin"), mayReadHosts("reader")]).to.deep.equal([true, false]);
    const [line] = log.at("info");
    expect(line?.["nobodys"]).to.include("console:open").and.not.include("host:read");
  });

  it("puts the table into effect that it changes to", async () => {
    part.start();
    writeFileSync(file, "host:read: [reader]");
    await look(2);
    expect([mayReadHosts("admin"), mayReadHosts("reader")]).to.deep.equal([false, true]);
  });

  it("keeps the table where the new one is no good, and counts that", async () => {
    part.start();
    writeFileSync(file, "host:read: [root]");
    await look(2);
    expect(mayReadHosts("admin")).to.equal(true);
    expect(log.at("error")).to.have.length(1);
    const failures = await registry.getSingleMetric("spicegate_policy_reload_failures_total")?.get();
    expect(failures?.values[0]?.value).to.equal(1);
  });

  it("does not start with one that is no good", () => {
    writeFileSync(file, "host:read: [root]");
    expect(() => part.start()).to.throw("is no role");
  });
});
