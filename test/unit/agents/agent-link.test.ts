// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import type { ConnectResponse } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { DrainCause, FailureReason, ListenKind } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type { AskOptions } from "../../../src/agents/agent-link.js";
import { AgentLink } from "../../../src/agents/agent-link.js";
import { MAX_REQUESTS_PER_AGENT } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { rejectionOf } from "../../harness/rejection.js";

type Message = NonNullable<ConnectResponse["message"]>;

const ENDPOINT = {
  host: "127.0.0.1",
  listen: ListenKind.LISTEN_KIND_ADDRESS,
  port: 5900,
  tlsPort: 0,
  internalAccessPath: "",
};
const LEAVE = { cause: DrainCause.DRAIN_CAUSE_STOPPING, reconnectAfterMinMs: 0, reconnectAfterMaxMs: 0 };

function setUp(): { link: AgentLink; sent: Message[]; ends: () => number } {
  const sent: Message[] = [];
  let ends = 0;
  const link = new AgentLink({
    identity: { host: "h", processId: "p", generation: 1n, agentVersion: "1" },
    send: (message) => void sent.push(message),
    end: () => (ends += 1),
    metrics: createControllerMetrics(new Registry()),
  });
  return { link, sent, ends: () => ends };
}

const ask = (overrides: Partial<AskOptions> = {}): AskOptions => ({
  ms: 1_000,
  requestId: "r",
  signal: new AbortController().signal,
  ...overrides,
});

describe("AgentLink", () => {
  it("sends the question with its bounds and gives the answer to who asked", async () => {
    const { link, sent } = setUp();
    const answer = link.getSpiceEndpoint("u", ask({ ms: 60_000 }));
    expect(sent).to.deep.equal([
      {
        $case: "request",
        request: {
          id: 1n,
          timeoutMs: 5_000,
          requestId: "r",
          operation: { $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid: "u" } },
        },
      },
    ]);
    link.receive({ id: 1n, result: { $case: "spiceEndpoint", spiceEndpoint: ENDPOINT } });
    expect(await answer).to.deep.equal(ENDPOINT);
  });

  it("asks whether the display is where it was, 0 standing for a port that is not compared", async () => {
    const { link, sent } = setUp();
    const answers = [{ port: 5900 }, { tlsPort: 5901 }, {}].map((ports) => link.validateConsolePort("u", ports, ask()));
    const asked = sent.map((message) => (message.$case === "request" ? message.request.operation : undefined));
    expect(asked).to.deep.equal([
      { $case: "validateConsolePort", validateConsolePort: { instanceUuid: "u", port: 5900, tlsPort: 0 } },
      { $case: "validateConsolePort", validateConsolePort: { instanceUuid: "u", port: 0, tlsPort: 5901 } },
      { $case: "validateConsolePort", validateConsolePort: { instanceUuid: "u", port: 0, tlsPort: 0 } },
    ]);
    link.receive({ id: 1n, result: { $case: "consolePortValid", consolePortValid: {} } });
    await answers[0];
    const failure = { reason: FailureReason.FAILURE_REASON_TARGET_CHANGED, message: "" };
    link.receive({ id: 2n, result: { $case: "failure", failure } });
    expect(await rejectionOf(answers[1]!)).to.have.property("reason", "TARGET_CHANGED");
    link.receive({ id: 3n, result: { $case: "displayOpened", displayOpened: {} } });
    expect(await rejectionOf(answers[2]!)).to.have.property("reason", "INTERNAL");
  });

  it("has a display brought to a tunnel", async () => {
    const { link, sent } = setUp();
    const tunnel = { tunnelAddress: "127.0.0.1:50053", tunnelSecret: "s" };
    const answers = [link.openDisplay("u", tunnel, ask()), link.openDisplay("u", tunnel, ask())];
    const operation = { $case: "openDisplay", openDisplay: { instanceUuid: "u", ...tunnel } };
    expect(sent[0]).to.have.nested.property("request.operation").that.deep.equals(operation);
    link.receive({ id: 1n, result: { $case: "displayOpened", displayOpened: {} } });
    await answers[0];
    link.receive({ id: 2n, result: { $case: "consolePortValid", consolePortValid: {} } });
    expect(await rejectionOf(answers[1]!)).to.have.property("reason", "INTERNAL");
  });

  it("says once that the stream is gone, also to who asks later, not to who took the wish back", () => {
    const { link } = setUp();
    const heard: string[] = [];
    link.onClosed(() => heard.push("before"));
    link.onClosed(() => heard.push("taken back"))();
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    link.onClosed(() => heard.push("after"));
    expect(heard).to.deep.equal(["before", "after"]);
  });

  it("keeps answers apart, in whatever order they come", async () => {
    const { link } = setUp();
    const first = link.getSpiceEndpoint("a", ask());
    const second = link.getSpiceEndpoint("b", ask());
    link.receive({ id: 2n, result: { $case: "spiceEndpoint", spiceEndpoint: { ...ENDPOINT, port: 2 } } });
    link.receive({ id: 1n, result: { $case: "spiceEndpoint", spiceEndpoint: { ...ENDPOINT, port: 1 } } });
    expect([(await first).port, (await second).port]).to.deep.equal([1, 2]);
  });

  it("turns the agent's failure into our reason and keeps its words for the log", async () => {
    const { link } = setUp();
    const answer = link.getSpiceEndpoint("u", ask());
    const failure = { reason: FailureReason.FAILURE_REASON_NO_SPICE_DISPLAY, message: "/run/secret/path" };
    link.receive({ id: 1n, result: { $case: "failure", failure } });
    const error = await rejectionOf(answer);
    expect(error).to.have.property("reason", "NO_SPICE_DISPLAY");
    expect(error.message).to.not.include("secret");
  });

  it("is INTERNAL for an answer to another question, an empty one, and an unknown failure", async () => {
    const { link } = setUp();
    const answers = [1, 2, 3].map(() => link.getSpiceEndpoint("u", ask()));
    link.receive({ id: 1n, result: { $case: "consolePortValid", consolePortValid: {} } });
    link.receive({ id: 2n, result: undefined });
    link.receive({
      id: 3n,
      result: { $case: "failure", failure: { reason: FailureReason.UNRECOGNIZED, message: "" } },
    });
    for (const answer of answers) expect(await rejectionOf(answer)).to.have.property("reason", "INTERNAL");
  });

  it("is INTERNAL for an endpoint that cannot be one", async () => {
    const { link } = setUp();
    const paths = ["a b", "a\r\nb", "é", "x".repeat(256)].map((internalAccessPath) => ({ internalAccessPath }));
    const nonsense = [
      { port: 65_536 },
      { tlsPort: 70_000 },
      { host: "" },
      { host: "a\0b" },
      { host: "x".repeat(254) },
      ...paths,
    ];
    const answers = nonsense.map(() => link.getSpiceEndpoint("u", ask()));
    nonsense.forEach((wrong, index) => {
      const spiceEndpoint = { ...ENDPOINT, ...wrong };
      link.receive({ id: BigInt(index + 1), result: { $case: "spiceEndpoint", spiceEndpoint } });
    });
    for (const answer of answers) expect(await rejectionOf(answer)).to.have.property("reason", "INTERNAL");
  });

  it("answers AGENT_TIMEOUT for a silent agent, cancels, and ignores the late reply", async () => {
    const { link, sent } = setUp();
    expect(await rejectionOf(link.getSpiceEndpoint("u", ask({ ms: 5 })))).to.have.property("reason", "AGENT_TIMEOUT");
    expect(sent.at(-1)).to.deep.equal({ $case: "cancel", cancel: { id: 1n } });
    link.receive({ id: 1n, result: { $case: "spiceEndpoint", spiceEndpoint: ENDPOINT } });
  });

  it("cancels the agent's work when the caller goes away", async () => {
    const { link, sent } = setUp();
    const caller = new AbortController();
    const answer = link.getSpiceEndpoint("u", ask({ signal: caller.signal }));
    caller.abort();
    expect(await rejectionOf(answer)).to.have.property("reason", "CANCELLED");
    expect(sent.at(-1)).to.deep.equal({ $case: "cancel", cancel: { id: 1n } });
  });

  it("takes no more than its bound at once", async () => {
    const { link, sent } = setUp();
    const waiting = Array.from({ length: MAX_REQUESTS_PER_AGENT }, () =>
      rejectionOf(link.getSpiceEndpoint("u", ask())),
    );
    expect(await rejectionOf(link.getSpiceEndpoint("u", ask()))).to.have.property("reason", "LIMITED");
    expect(sent).to.have.length(MAX_REQUESTS_PER_AGENT);
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    await Promise.all(waiting);
  });

  it("fails what waits when the stream goes, and sends nothing on it", async () => {
    const { link, sent } = setUp();
    const answer = link.getSpiceEndpoint("u", ask());
    link.close(new ServiceError("AGENT_UNAVAILABLE", "gone"));
    expect(await rejectionOf(answer)).to.have.property("reason", "AGENT_UNAVAILABLE");
    expect(sent).to.have.length(1);
    expect(await rejectionOf(link.getSpiceEndpoint("u", ask()))).to.have.property("reason", "AGENT_UNAVAILABLE");
  });

  it("drains: no new questions, the old answers are awaited, then the stream ends", async () => {
    const { link, sent, ends } = setUp();
    const answer = link.getSpiceEndpoint("u", ask());
    const drained = link.drain(LEAVE);
    expect(sent.at(-1)).to.deep.equal({ $case: "drain", drain: LEAVE });
    expect(await rejectionOf(link.getSpiceEndpoint("u", ask()))).to.have.property("reason", "AGENT_UNAVAILABLE");
    expect(ends()).to.equal(0);
    link.receive({ id: 1n, result: { $case: "spiceEndpoint", spiceEndpoint: ENDPOINT } });
    await Promise.all([answer, drained]);
    expect(ends()).to.equal(1);
  });

  it("asks a draining agent nothing new", async () => {
    const { link } = setUp();
    link.agentDrains();
    expect(await rejectionOf(link.getSpiceEndpoint("u", ask()))).to.have.property("reason", "AGENT_UNAVAILABLE");
  });
});
