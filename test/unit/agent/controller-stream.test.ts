// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { AgentIdentity } from "../../../agent/agent-identity.js";
import { createAgentMetrics } from "../../../agent/agent-metrics.js";
import type { SessionContext } from "../../../agent/control-session.js";
import type { StreamState } from "../../../agent/controller-stream.js";
import { ControllerStream } from "../../../agent/controller-stream.js";
import { FailureLog } from "../../../agent/failure-log.js";
import { Inventory } from "../../../agent/inventory.js";
import { createOperations } from "../../../agent/operations.js";
import { Registry } from "prom-client";
import { Backoff } from "../../../src/lib/backoff.js";
import { systemClock } from "../../../src/lib/clock.js";
import { silentLog } from "../../../src/lib/log.js";
import { aDomain, uuidOf } from "../../fakes/domains.js";
import { FakeController } from "../../fakes/fake-controller.js";
import { FakeHypervisor } from "../../fakes/fake-hypervisor.js";

describe("ControllerStream", () => {
  let controller: FakeController;
  let hypervisor: FakeHypervisor;
  let stream: ControllerStream;
  let states: StreamState[];
  let context: SessionContext;
  let inventory: Inventory;

  beforeEach(async () => {
    controller = new FakeController();
    await controller.start();
    hypervisor = new FakeHypervisor();
    const metrics = createAgentMetrics(new Registry());
    const log = silentLog;
    const clock = systemClock;
    inventory = new Inventory({ hypervisor, metrics, log, clock });
    inventory.start();
    context = {
      identity: new AgentIdentity("host-a", "1.2.3"),
      hypervisor,
      inventory,
      perform: createOperations({ hypervisor, settings: { enabled: true, server_proxyclient_address: "10.0.0.1" } }),
      metrics,
      log,
      failureLog: new FailureLog(log, clock),
      clock,
    };
    states = [];
    stream = new ControllerStream({
      address: controller.address,
      context,
      onState: (state) => states.push(state),
      backoff: new Backoff({ firstMs: 1, mostMs: 10 }),
    });
  });

  afterEach(async () => {
    await stream.stop();
    inventory.stop();
    controller.stop();
  });

  it("says hello, sends the inventory and answers", async () => {
    hypervisor.put(aDomain(1));
    stream.start();
    const peer = await controller.nextStream();
    expect(peer.hello).to.include({ host: "host-a" });
    const page = await peer.next("inventorySnapshot");
    expect(page.inventorySnapshot.sequence).to.equal(1n);
    const result = await peer.ask({ $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: uuidOf(1) } });
    expect(result).to.deep.equal({
      $case: "spiceEndpoint",
      spiceEndpoint: { host: "10.0.0.1", listen: 1, port: 5901, tlsPort: 0 },
    });
    expect(states).to.deep.equal(["connecting", "greeting", "open"]);
    await stream.stop();
    expect(peer.all("drain")).to.have.length(1);
    expect(states.at(-1)).to.equal("stopped");
  });
});
