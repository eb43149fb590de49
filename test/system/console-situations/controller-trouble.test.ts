// SPDX-License-Identifier: Apache-2.0
// What GetSpiceConsole answers when the controller itself cannot help: its database is away, it has just started, it is
// about to go.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { waitUntil } from "../../../demo/wait-until.js";
import { migrate } from "../../../src/db/migrate.js";
import { silentLog } from "../../../src/lib/log.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../../fakes/fake-agent.js";
import { Deployment } from "../../harness/deployment.js";
import { callUnary } from "../../harness/grpc-client.js";
import { register, responseOf } from "../../harness/inventory-calls.js";
import { refuses } from "./situation.js";

describe("GetSpiceConsole and trouble of the controller", function () {
  this.timeout(60_000);

  const noDatabase = /database does not answer/;
  refuses("Postgres down", { answer: "DATABASE_UNAVAILABLE", says: noDatabase }, async () => {
    const postgres = new EmbeddedPostgres();
    await postgres.start();
    const { url: databaseUrl } = postgres;
    await migrate({ url: databaseUrl }, silentLog);
    const deployment = await Deployment.start({ databaseUrl });
    try {
      const { instanceUuid } = await register(deployment, { instanceUuid: randomUUID(), host: "host-1" });
      postgres.kill("SIGKILL");
      // Until it notices, it may as well answer that this host has no agent.
      await waitUntil(async () => !(await isReady(deployment)), { ms: 10_000, what: "the controller to notice" });
      return await deployment.getConsole(instanceUuid);
    } finally {
      await deployment.stop();
      await postgres.stop();
    }
  });

  const reporting = /still reporting its instances; ask again in a second/;
  refuses("inventory incomplete", { answer: "INVENTORY_INCOMPLETE", says: reporting }, async () => {
    const deployment = await Deployment.start();
    try {
      const known = { host: "host-1", domains: [fakeDomain(randomUUID())] };
      const before = await FakeAgent.connect(deployment.agents, known);
      await deployment.knows(known.domains[0]!.instanceUuid);
      before.close();
      await deployment.controller.stop();
      // Not ready before the host's agent is back.
      const ready = deployment.controller.start();
      await waitUntil(() => serves(deployment), { ms: 15_000, what: "the API to answer" });
      const result = await deployment.getConsole(randomUUID());
      const after = await FakeAgent.connect(deployment.agents, known);
      await ready;
      const settled = await deployment.getConsole(randomUUID());
      expect(settled).to.have.nested.property("failure.reason", "INSTANCE_NOT_FOUND");
      after.close();
      return result;
    } finally {
      await deployment.stop();
    }
  });

  refuses(
    "controller stopping",
    { answer: "DRAINING", says: /is stopping; ask again, another one answers/ },
    async () => {
      const deployment = await Deployment.start();
      const uuid = randomUUID();
      const agent = await FakeAgent.connect(deployment.agents, { host: "host-1", domains: [fakeDomain(uuid)] });
      try {
        await deployment.knows(uuid);
        const early = deployment.getConsole(uuid);
        const { request } = await agent.next("request");
        deployment.controller.kill("SIGTERM");
        await deployment.logged({ msg: "stopping" });
        const late = await deployment.getConsole(uuid);
        agent.reply(request, FAKE_ENDPOINT);
        responseOf(await early);
        return late;
      } finally {
        agent.close();
        await deployment.stop();
      }
    },
  );
});

async function isReady({ telemetry }: Deployment): Promise<boolean> {
  return (await fetch(`http://${telemetry}/readyz`)).ok;
}

/** Whether the API answers at all, whatever it says. */
async function serves({ console }: Deployment): Promise<boolean> {
  const result = await callUnary(console.lookupConsoleToken.bind(console), { token: "none" });
  return result.ok || result.failure.info !== undefined;
}
