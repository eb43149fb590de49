// SPDX-License-Identifier: Apache-2.0
// What GetSpiceConsole answers before it looks at the instance: it depends on who asks and for what.
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import type { GetSpiceConsoleResponse } from "../../../proto/gen/spicegate/console/v1/console.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../../fakes/fake-agent.js";
import { Deployment } from "../../harness/deployment.js";
import type { CallFailure, CallResult } from "../../harness/grpc-client.js";
import { register } from "../../harness/inventory-calls.js";
import { createDatabase, runStatement } from "../../harness/test-database.js";
import { refuses, situation } from "./situation.js";

const roles = (subject: string, project: string, role: string): { identity: { loopback_caller: object } } => ({
  identity: { loopback_caller: { subject, project, roles: [role] } },
});

describe("GetSpiceConsole and its caller", function () {
  this.timeout(60_000);
  const uuid = randomUUID();
  let databaseUrl: string;
  let admin: Deployment;
  let member: Deployment;
  let auditor: Deployment;

  before(async () => {
    databaseUrl = await createDatabase();
    const start = (controller = {}): Promise<Deployment> => Deployment.start({ databaseUrl, controller });
    [admin, member, auditor] = await Promise.all([
      start(),
      start(roles("mallory", "theirs", "member")),
      start(roles("rita", "ours", "auditor")),
    ]);
    await register(admin, { instanceUuid: uuid, projectId: "ours", host: "host-1" });
  });
  after(() => Promise.all([admin, member, auditor].map((deployment) => deployment.stop())));

  refuses("malformed uuid", { answer: "INVALID_ARGUMENT", says: /^instance_uuid must be a UUID of the form/ }, () =>
    admin.getConsole("not-a-uuid"),
  );

  refuses("role without the verb", { answer: "PERMISSION_DENIED", says: /\(auditor\) allows console:open$/ }, () =>
    auditor.getConsole(uuid),
  );

  refuses("unknown instance", { answer: "INSTANCE_NOT_FOUND", says: /^there is no instance [0-9a-f-]{36}$/ }, () =>
    admin.getConsole(randomUUID()),
  );

  refuses("another project's instance", { answer: "INSTANCE_NOT_FOUND", says: /^there is no instance/ }, () =>
    member.getConsole(uuid),
  );

  refuses(
    "wrong console type",
    { answer: "CONSOLE_TYPE_INVALID", says: /"novnc" is not supported; use "spice-html5" or/ },
    () => admin.getConsole(uuid, { consoleType: "novnc" }),
  );

  it("answers a role without the verb the same for every uuid, and notes each refusal in the audit", async () => {
    const unknown = randomUUID();
    const known = await auditor.getConsole(uuid, { headers: { "x-request-id": "refused-1" } });
    expect(failureOf(known)).to.deep.equal(failureOf(await auditor.getConsole(unknown)));
    const rows = await runStatement(
      databaseUrl,
      `select subject, project_id, reason, instance_uuid, request_id from audit_events
       where action = 'refused' and (request_id = 'refused-1' or instance_uuid = $1::uuid) order by event_id`,
      [unknown],
    );
    const refused = { subject: "rita", project_id: "ours", reason: "PERMISSION_DENIED" };
    expect(rows[0]).to.deep.equal({ ...refused, instance_uuid: uuid, request_id: "refused-1" });
    expect(rows[1]).to.deep.include({ ...refused, instance_uuid: unknown });
  });

  it("says of another project's instance, byte for byte, what it says of an unknown one", async () => {
    const unknown = randomUUID();
    const theirs = failureOf(await member.getConsole(uuid));
    const nobodys = failureOf(await member.getConsole(unknown));
    expect(JSON.stringify(theirs).replaceAll(uuid, unknown)).to.equal(JSON.stringify(nobodys));
  });

  it("lets an admin through to every project", async () => {
    expect(await admin.getConsole(uuid)).to.have.nested.property("failure.reason", "AGENT_UNAVAILABLE");
  });

  situation("caller cancelled", async () => {
    const asked = randomUUID();
    const agent = await FakeAgent.connect(admin.agents, { host: "host-2", domains: [fakeDomain(asked)] });
    try {
      await admin.knows(asked);
      let cancel = (): void => undefined;
      const answer = admin.getConsole(asked, { onCall: (call) => (cancel = () => call.cancel()) });
      const { request } = await agent.next("request");
      cancel();
      expect(await answer).to.have.nested.property("failure.reason", "CANCELLED");
      expect(await agent.next("cancel")).to.have.nested.property("cancel.id", request.id);
      // The agent answers all the same; it is too late.
      agent.reply(request, FAKE_ENDPOINT);
      const entry = await admin.logged({ msg: "call refused", reason: "CANCELLED" });
      expect(entry).to.include({ method: "GetSpiceConsole", detail: "the caller went away" });
      const tokens = await runStatement(databaseUrl, "select id from console_auth_tokens where instance_uuid = $1", [
        asked,
      ]);
      expect(tokens).to.deep.equal([]);
    } finally {
      agent.close();
    }
  });
});

function failureOf(result: CallResult<GetSpiceConsoleResponse>): CallFailure {
  if (result.ok) throw new Error("expected a refusal");
  return result.failure;
}
