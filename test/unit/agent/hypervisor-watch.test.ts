// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import { HypervisorWatch } from "../../../agent/hypervisor-watch.js";
import { LIBVIRT_FIRST_MS } from "../../../src/lib/limits.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";

describe("HypervisorWatch", () => {
  it("shows in readiness and metrics whether the hypervisor answers, until it stops", async () => {
    const hypervisor = new FakeHypervisor();
    const readiness = new Readiness(["hypervisor"]);
    const registry = new Registry();
    const metrics = createAgentMetrics(registry);
    const watch = new HypervisorWatch({ hypervisor, readiness, metrics, clock: new FakeClock() });
    const up = async (): Promise<number | undefined> =>
      (await registry.getSingleMetric("spicegate_agent_hypervisor_up")?.get())?.values[0]?.value;

    await watch.start();
    expect(readiness.isReady()).to.equal(true);
    expect(await up()).to.equal(1);

    hypervisor.setStatus({ available: false, info: FAKE_INFO, detail: "libvirtd is gone" });
    expect(readiness.conditions()["hypervisor"]).to.deep.equal({ ok: false, detail: "libvirtd is gone" });
    expect(await up()).to.equal(0);

    watch.stop();
    hypervisor.setStatus({ available: true, info: FAKE_INFO, detail: "" });
    expect(readiness.isReady()).to.equal(false);
  });

  it("waits with its start until the hypervisor answers, but not for long", async () => {
    const hypervisor = new FakeHypervisor();
    const readiness = new Readiness(["hypervisor"]);
    const clock = new FakeClock();
    let watch: HypervisorWatch;
    for (const happen of [
      (): void => hypervisor.setStatus({ available: true, info: FAKE_INFO, detail: "" }),
      (): void => clock.advance(1),
      (): void => watch.stop(),
    ]) {
      hypervisor.setStatus({ available: false, info: undefined, detail: "not connected yet" });
      watch = new HypervisorWatch({ hypervisor, readiness, metrics: createAgentMetrics(new Registry()), clock });
      let started = false;
      const start = watch.start().then(() => (started = true));
      clock.advance(LIBVIRT_FIRST_MS - 1);
      await Promise.resolve();
      expect(started).to.equal(false);
      happen();
      await start;
    }
  });
});
