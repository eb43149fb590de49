// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import { HypervisorWatch } from "../../../agent/hypervisor-watch.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { FAKE_INFO, FakeHypervisor } from "../../fakes/fake-hypervisor.js";

describe("HypervisorWatch", () => {
  it("shows in readiness and metrics whether the hypervisor answers, until it stops", async () => {
    const hypervisor = new FakeHypervisor();
    const readiness = new Readiness(["hypervisor"]);
    const registry = new Registry();
    const watch = new HypervisorWatch({ hypervisor, readiness, metrics: createAgentMetrics(registry) });
    const up = async (): Promise<number | undefined> =>
      (await registry.getSingleMetric("spicegate_agent_hypervisor_up")?.get())?.values[0]?.value;

    watch.start();
    expect(readiness.isReady()).to.equal(true);
    expect(await up()).to.equal(1);

    hypervisor.setStatus({ available: false, info: FAKE_INFO, detail: "libvirtd is gone" });
    expect(readiness.conditions()["hypervisor"]).to.deep.equal({ ok: false, detail: "libvirtd is gone" });
    expect(await up()).to.equal(0);

    watch.stop();
    hypervisor.setStatus({ available: true, info: FAKE_INFO, detail: "" });
    expect(readiness.isReady()).to.equal(false);
  });
});
