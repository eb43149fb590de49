// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import type { ConnectResponse } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DrainCause } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentLink } from "../../../src/agents/agent-link.js";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import { PEERS_TOLD_TOGETHER } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";

const metrics = createControllerMetrics(new Registry());

function newLink(host: string, processId: string): { link: AgentLink; sent: ConnectResponse["message"][] } {
  const sent: ConnectResponse["message"][] = [];
  const identity = { host, processId, generation: 1n, agentVersion: "1" };
  const send = (message: ConnectResponse["message"]): void => void sent.push(message);
  return { link: new AgentLink({ identity, send, end: () => undefined, metrics }), sent };
}

describe("AgentRouter", () => {
  const newRouter = (): AgentRouter => new AgentRouter({ log: silentLog, metrics });

  it("finds the host's agent and refuses at once where there is none", () => {
    const router = newRouter();
    const { link } = newLink("a", "1");
    router.add(link);
    expect(router.require("a")).to.equal(link);
    expect(() => router.require("b")).to.throw("no agent of host b is connected");
  });

  it("lets the newer process win and tells the older one that it was replaced", () => {
    const router = newRouter();
    const older = newLink("a", "1");
    const newer = newLink("a", "2");
    router.add(older.link);
    router.add(newer.link);
    expect(router.require("a")).to.equal(newer.link);
    expect(older.sent[0]).to.have.nested.property("drain.cause", DrainCause.DRAIN_CAUSE_REPLACED);
  });

  it("does not call a process that connects again replaced", () => {
    const router = newRouter();
    const older = newLink("a", "1");
    router.add(older.link);
    router.add(newLink("a", "1").link);
    expect(older.sent[0]).to.have.nested.property("drain.cause", DrainCause.DRAIN_CAUSE_STOPPING);
  });

  it("tells all agents which controllers live, but those that it dismissed, and lets others have their turn", async () => {
    const router = newRouter();
    const old = newLink("host-0", "1");
    router.add(old.link);
    const links = Array.from({ length: PEERS_TOLD_TOGETHER + 1 }, (_, n) => newLink(`host-${n}`, "2"));
    for (const { link } of links) router.add(link);
    const peers = [{ controllerId: "c", address: "127.0.0.1:1" }];
    const told = router.announce(peers);
    expect(links.filter(({ sent }) => sent.length > 0)).to.have.length(PEERS_TOLD_TOGETHER);
    const newer = router.announce([]);
    await Promise.all([told, newer]);
    expect(links.at(-1)?.sent.at(-1)).to.deep.equal({ $case: "peers", peers: { peers: [] } });
    expect(links[0]?.sent).to.have.length(2);
    expect(old.sent.map((message) => message?.$case)).to.deep.equal(["drain"]);
  });

  it("tells who listens which host has lost its agent, not of a stream that was replaced", () => {
    const router = newRouter();
    const gone: string[] = [];
    const stop = router.onGone((host) => gone.push(host));
    const [older, newer] = [newLink("a", "1").link, newLink("a", "1").link];
    router.add(older);
    router.add(newer);
    router.remove(older);
    expect(gone).to.deep.equal([]);
    router.remove(newer);
    expect(gone).to.deep.equal(["a"]);
    stop();
    router.add(older);
    router.remove(older);
    expect(gone).to.deep.equal(["a"]);
  });

  it("does not let the late end of an old stream remove its replacement", () => {
    const router = newRouter();
    const older = newLink("a", "1").link;
    const newer = newLink("a", "2").link;
    router.add(older);
    router.add(newer);
    expect(router.remove(older)).to.equal(false);
    expect(router.require("a")).to.equal(newer);
    expect(router.remove(newer)).to.equal(true);
    expect(() => router.require("a")).to.throw("no agent of host a");
  });

  it("has no agent for new questions while that agent drains", () => {
    const router = newRouter();
    const { link } = newLink("a", "1");
    router.add(link);
    link.agentDrains();
    expect(() => router.require("a")).to.throw("no agent of host a");
  });

  it("tells every agent to leave when it stops", async () => {
    const router = newRouter();
    const one = newLink("a", "1");
    router.add(one.link);
    await router.stop();
    expect(router.isDraining).to.equal(true);
    expect(one.sent[0]).to.have.nested.property("drain.cause", DrainCause.DRAIN_CAUSE_STOPPING);
  });
});
