// SPDX-License-Identifier: Apache-2.0
// Somebody asks, tries or says far more than the settings allow: that one is told when to come again, or is read more
// slowly, and nobody else notices.
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import { waitUntil } from "../../demo/wait-until.js";
import { ConnectRequest, DomainEventKind } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { IdentityServiceClient } from "../../proto/gen/spicegate/identity/v1/identity.js";
import type { ListHostsResponse } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { AGENT_BURST_S } from "../../src/lib/limits.js";
import { FakeDisplay } from "../fakes/fake-display.js";
import { domainOf, RawAgent } from "../fakes/raw-agent.js";
import { Deployment } from "../harness/deployment.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { responseOf } from "../harness/inventory-calls.js";
import { runStatement } from "../harness/test-database.js";
import { postToken, tokenOf } from "../harness/viewer.js";

const PATIENCE_MS = 20_000;
const FLOODERS = 16;
const CALLS = 100;
const MESSAGES_PER_SECOND = 100;
const LIMITS = {
  requests_per_caller: 20,
  caller_burst: 2 * CALLS,
  failed_redemptions_per_address: 10,
  sessions_per_address: 5,
  failed_logins_per_address: 10,
  agent_messages: MESSAGES_PER_SECOND,
};
const STRANGER = { "x-forwarded-for": "192.0.2.66" };
const HERE = { "x-forwarded-for": "192.0.2.1" };
const ELSEWHERE = { "x-forwarded-for": "192.0.2.2" };

describe("Somebody floods", function () {
  this.timeout(90_000);
  const machine = { uuid: randomUUID(), name: "somebody-floods" };
  let display: FakeDisplay;
  let deployment: Deployment;

  before(async () => {
    display = await FakeDisplay.start((socket) => socket.pipe(socket));
    deployment = await Deployment.start({
      libvirtUri: display.libvirtUri([machine]),
      controller: { limits: LIMITS, proxy: { trusted_proxies: ["127.0.0.1"] }, log: { level: "info" } },
    });
    await deployment.knows(machine.uuid);
  });
  after(async () => {
    await deployment.stop();
    await display.stop();
  });

  const reached = (limit: string): Promise<number> =>
    deployment.metric(`spicegate_limits_reached_total{limit="${limit}"}`);
  const auditRows = async (subject: string): Promise<number> => {
    const rows = await runStatement(
      deployment.databaseUrl,
      "select from audit_events where reason = 'LIMITED' and subject = $1",
      [subject],
    );
    return rows.length;
  };

  describe("as a caller", () => {
    let token: string;

    before(async () => {
      const identity = new IdentityServiceClient(deployment.api, credentials.createInsecure());
      const request = { subject: "modest", projectId: "", roles: ["service"], ttlSeconds: 600 };
      token = responseOf(await callUnary(identity.createUserToken.bind(identity), request)).token;
      identity.close();
    });

    const list = (headers: Readonly<Record<string, string>> = {}): Promise<CallResult<ListHostsResponse>> =>
      callUnary(deployment.inventory.listHosts.bind(deployment.inventory), { pageSize: 0, pageToken: "" }, { headers });

    it("is told when to come again and noted once, while another caller is answered", async () => {
      const refusals: CallResult<unknown>[] = [];
      let over = false;
      const flood = async (): Promise<void> => {
        while (!over) {
          const result = await list();
          if (!result.ok) refusals.push(result);
        }
      };
      const flooding = Promise.all(Array.from({ length: FLOODERS }, flood));
      await waitUntil(() => refusals.length > 0, { ms: PATIENCE_MS, what: "the first refusal" });
      for (let call = 0; call < CALLS; call += 1) responseOf(await list({ authorization: `Bearer ${token}` }));
      over = true;
      await flooding;
      for (const refusal of refusals) {
        if (refusal.ok) continue;
        expect(refusal.failure).to.include({ reason: "LIMITED" });
        expect(refusal.failure.info?.metadata).to.deep.equal({ limit: "requests_per_caller" });
        const { seconds = 0n, nanos = 0 } = refusal.failure.retry?.retryDelay ?? {};
        expect(Number(seconds) * 1_000 + nanos / 1e6).to.be.within(1, 1_000);
      }
      expect(await reached("requests_per_caller")).to.equal(refusals.length);
      await leavesOneNote();
      await waitUntil(async () => (await list()).ok, { ms: PATIENCE_MS, what: "a call to be answered again" });
    });

    /** However often it was refused. */
    async function leavesOneNote(): Promise<void> {
      expect(await reached("requests_per_caller")).to.be.above(1);
      await waitUntil(async () => (await auditRows("loopback")) > 0, { ms: PATIENCE_MS, what: "the row" });
      expect(await auditRows("loopback")).to.equal(1);
      const lines = deployment.controllerLog().filter(({ limit }) => limit === "requests_per_caller");
      expect(lines).to.have.length(1);
      expect(lines[0]).to.include({ audit: "refused", reason: "LIMITED", subject: "loopback" });
    }
  });

  describe("with tokens that are no good", () => {
    const knock = async (count: number): Promise<Set<unknown>> => {
      const guesses = Array.from({ length: count }, () => randomBytes(32).toString("base64url"));
      const answers = await Promise.all(guesses.map((guess) => postToken(deployment.proxy, guess, STRANGER)));
      return new Set(answers.map(({ status, body }) => `${status} ${String(body["reason"])}`));
    };

    it("is no longer listened to, while another viewer opens its console", async () => {
      const good = tokenOf(responseOf(await deployment.getConsole(machine.uuid)).url);
      const answers = await knock(40);
      expect(answers).to.deep.equal(new Set(["401 TOKEN_INVALID", "429 LIMITED"]));
      expect(await knock(20)).to.include("429 LIMITED");
      const { status, headers, body } = await postToken(deployment.proxy, good, STRANGER);
      expect({ status, ...body }).to.include({ status: 429, limit: "failed_redemptions_per_address" });
      expect(Number(headers.get("retry-after"))).to.be.within(1, 60);
      expect((await postToken(deployment.proxy, good, HERE)).status, "the same token, from elsewhere").to.equal(201);
    });
  });

  describe("with credentials that nobody knows", () => {
    const list = (token: string, headers: Readonly<Record<string, string>>): Promise<number> =>
      deployment.rest.get("/v2.1/servers", { token, headers }).then(({ status }) => status);

    it("is answered slowly and then not at all, while another address is", async () => {
      const guess = (): string => `sgu_${randomBytes(32).toString("base64url")}`;
      const answers = await Promise.all(Array.from({ length: 60 }, () => list(guess(), STRANGER)));
      expect(new Set(answers)).to.deep.equal(new Set([401, 429]));
      expect(await reached("failed_logins_per_address")).to.be.above(0);
      expect(await list("guess", HERE)).to.equal(401);
    });
  });

  describe("with sessions", () => {
    it("is refused the next one and keeps its URL, while another address opens one", async () => {
      const open = async (
        from: Readonly<Record<string, string>>,
      ): Promise<{ readonly token: string; readonly status: number }> => {
        const token = tokenOf(responseOf(await deployment.getConsole(machine.uuid)).url);
        return { token, status: (await postToken(deployment.proxy, token, from)).status };
      };
      const opened: number[] = [];
      let last = await open(ELSEWHERE);
      for (; last.status === 201 && opened.length < 10; last = await open(ELSEWHERE)) opened.push(last.status);
      expect(opened.length).to.be.within(5, 6);
      expect(last.status).to.equal(429);
      expect((await postToken(deployment.proxy, last.token, HERE)).status).to.equal(201);
    });
  });

  describe("as an agent", () => {
    it("is read more slowly, loses nothing, and is in no other agent's way", async () => {
      const flooder = await RawAgent.join(deployment.agents, { host: "floods" });
      const modest = await RawAgent.join(deployment.agents, { host: "modest" });
      const uuids = { first: randomUUID(), last: randomUUID(), modest: randomUUID() };
      const count = MESSAGES_PER_SECOND * (AGENT_BURST_S + 2);
      const events = (async () => {
        for (let sequence = 1; sequence < count; sequence += 1) {
          await flooder.sendAndWait(eventOf(uuids.first, BigInt(sequence)));
        }
        await flooder.sendAndWait(eventOf(uuids.last, BigInt(count)));
      })();
      await waitUntil(async () => (await reached("agent_messages")) > 0, {
        ms: PATIENCE_MS,
        what: "the flood to be noticed",
      });
      modest.sendBytes(eventOf(uuids.modest, 1n));
      await deployment.knows(uuids.modest);
      await events;
      await deployment.knows(uuids.last, PATIENCE_MS);
      expect(deployment.controllerLog().filter(({ limit }) => limit === "agent_messages")).to.have.length(1);
      flooder.close();
      modest.close();
    });
  });
});

/** An event, as it is sent, that says that the domain is there. */
function eventOf(uuid: string, sequence: bigint): Buffer {
  const domainEvent = { sequence, kind: DomainEventKind.DOMAIN_EVENT_KIND_STARTED, domain: domainOf(uuid) };
  return Buffer.from(ConnectRequest.encode({ message: { $case: "domainEvent", domainEvent } }).finish());
}
