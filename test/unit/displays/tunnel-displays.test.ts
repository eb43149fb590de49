// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { expect } from "chai";
import { Registry } from "prom-client";
import type { ConnectResponse, OpenDisplay, Reply } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { FailureReason } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentLink } from "../../../src/agents/agent-link.js";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import { TunnelDisplays } from "../../../src/displays/tunnel-displays.js";
import { TunnelListener } from "../../../src/displays/tunnel-listener.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { rejectionOf } from "../../harness/rejection.js";
import { TunnelClient } from "../../harness/tunnel-client.js";
import { until, within } from "../../harness/within.js";

const metrics = createControllerMetrics(new Registry());
const TARGET = { instanceUuid: "u", host: "h" };
const OPENED: Reply["result"] = { $case: "displayOpened", displayOpened: {} };
const REFUSED: Reply["result"] = {
  $case: "failure",
  failure: { reason: FailureReason.FAILURE_REASON_TARGET_REFUSED, message: "" },
};

describe("TunnelDisplays", () => {
  const tunnels = new TunnelListener({ listen: { host: "127.0.0.1", port: 0 }, log: silentLog });
  let sent: NonNullable<ConnectResponse["message"]>[];
  let link: AgentLink;
  let displays: TunnelDisplays;

  before(() => tunnels.start());
  after(() => tunnels.stop());

  beforeEach(() => {
    sent = [];
    link = new AgentLink({
      identity: { host: "h", processId: "p", generation: 1n, agentVersion: "1" },
      send: (message) => void sent.push(message),
      end: () => undefined,
      metrics,
    });
    const router = new AgentRouter({ log: silentLog, metrics });
    router.add(link);
    displays = new TunnelDisplays({ router, tunnels });
  });

  const open = async (ms = 5_000, signal = new AbortController().signal): Promise<Duplex> =>
    (await displays.open(TARGET, { ms, requestId: "r", signal })).stream;

  /** What the agent was asked. */
  function asked(): OpenDisplay {
    const message = sent[0];
    const operation = message?.$case === "request" ? message.request.operation : undefined;
    if (operation?.$case !== "openDisplay") throw new Error(`asked ${JSON.stringify(sent)}`);
    return operation.openDisplay;
  }

  const bring = (): TunnelClient => new TunnelClient(asked().tunnelAddress).request(asked().tunnelSecret);
  const answer = (result: Reply["result"]): void => link.receive({ id: 1n, result });
  const cancels = (): number => sent.filter(({ $case }) => $case === "cancel").length;

  it("expects the tunnel of the instance's host", async () => {
    const hosts: string[] = [];
    const watched: Pick<TunnelListener, "expect"> = {
      expect: (options) => {
        hosts.push(options.host);
        return tunnels.expect(options);
      },
    };
    const router = new AgentRouter({ log: silentLog, metrics });
    router.add(link);
    const opening = new TunnelDisplays({ router, tunnels: watched }).open(TARGET, {
      ms: 1,
      requestId: "r",
      signal: new AbortController().signal,
    });
    await rejectionOf(opening);
    expect(hosts).to.deep.equal([TARGET.host]);
  });

  it("has the agent open the display and gives out the tunnel it brings", async () => {
    const opening = open();
    expect(asked()).to.include({ instanceUuid: "u", tunnelAddress: tunnels.address });
    const client = bring();
    await client.sees("101");
    answer(OPENED);
    const display = await within("the display", opening);
    display.write("hello");
    await client.sees("hello");
    display.destroy();
    await within("the end", client.closed);
  });

  it("waits for the tunnel too where the agent's answer comes first", async () => {
    const opening = open();
    answer(OPENED);
    const client = bring();
    const display = await within("the display", opening);
    expect(display.destroyed).to.equal(false);
    display.destroy();
    await client.closed;
  });

  it("refuses at once where the host has no agent, and expects nothing then", async () => {
    const options = { ms: 1_000, requestId: "r", signal: new AbortController().signal };
    const error = await rejectionOf(displays.open({ ...TARGET, host: "other" }, options));
    expect(error).to.have.property("reason", "AGENT_UNAVAILABLE");
    expect(tunnels.waitingTunnels).to.equal(0);
  });

  it("expects no tunnel any more when the agent fails", async () => {
    const opening = open();
    answer(REFUSED);
    expect(await rejectionOf(opening)).to.have.property("reason", "TARGET_REFUSED");
    expect(tunnels.waitingTunnels).to.equal(0);
    const client = bring();
    await within("the end", client.closed);
    expect(client.text).to.include(" 403 ");
  });

  it("cuts the tunnel that has arrived when the agent fails", async () => {
    const opening = open();
    const client = bring();
    await client.sees("101");
    answer(REFUSED);
    expect(await rejectionOf(opening)).to.have.property("reason", "TARGET_REFUSED");
    await within("the end", client.closed);
  });

  it("withdraws the request where the tunnel cannot be waited for", async () => {
    const own = new TunnelListener({ listen: { host: "127.0.0.1", port: 0 }, log: silentLog });
    await own.start();
    displays = new TunnelDisplays({ router: { require: () => link }, tunnels: own });
    const opening = open();
    await own.stop();
    expect(await rejectionOf(opening)).to.have.property("reason", "DRAINING");
    await until("the cancel", () => cancels() === 1);
  });

  it("is AGENT_TIMEOUT where nothing comes, and withdraws both", async () => {
    expect(await rejectionOf(open(5))).to.have.property("reason", "AGENT_TIMEOUT");
    await until("the cancel", () => cancels() === 1);
    expect(tunnels.waitingTunnels).to.equal(0);
  });

  it("is AGENT_TIMEOUT where the agent says yes and brings nothing", async () => {
    const opening = open(20);
    answer(OPENED);
    expect(await rejectionOf(opening)).to.have.property("reason", "AGENT_TIMEOUT");
    expect(tunnels.waitingTunnels).to.equal(0);
  });

  for (const when of ["before the tunnel arrives", "after it"]) {
    it(`gives up when the caller goes away ${when}`, async () => {
      const caller = new AbortController();
      const opening = open(5_000, caller.signal);
      const early = when === "after it" ? bring() : undefined;
      await early?.sees("101");
      caller.abort();
      expect(await rejectionOf(opening)).to.have.property("reason", "CANCELLED");
      await until("the cancel", () => cancels() === 1);
      await within("the end", (early ?? bring()).closed);
      expect(tunnels.openTunnels).to.equal(0);
    });
  }

  it("fails when the agent's stream goes meanwhile", async () => {
    const opening = open();
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    expect(await rejectionOf(opening)).to.have.property("reason", "AGENT_UNAVAILABLE");
    expect(tunnels.waitingTunnels).to.equal(0);
  });

  it("forgets a display that has closed, however long the agent's stream lives", async () => {
    let forgotten = 0;
    link.onClosed = () => () => (forgotten += 1);
    const opening = open();
    bring();
    answer(OPENED);
    (await within("the display", opening)).destroy();
    await until("the end of the wish", () => forgotten === 1);
  });

  it("cuts an open display when the stream it was asked for on goes", async () => {
    const opening = open();
    const client = bring();
    answer(OPENED);
    const display = await within("the display", opening);
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    await within("the end", client.closed);
    expect(display.destroyed).to.equal(true);
  });
});
