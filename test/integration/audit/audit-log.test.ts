// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { AuditLog } from "../../../src/audit/audit-log.js";
import { ACTOR, uuidOf } from "../../harness/inventory.js";
import { TestDatabase } from "../../harness/test-database.js";

describe("AuditLog", () => {
  let db: TestDatabase;

  before(async () => {
    db = await TestDatabase.create();
  });

  after(async () => {
    await db.stop();
  });

  it("records what policy refused, with what is known of it", async () => {
    const log = new AuditLog(db.database);
    await log.recordRefusal({
      actor: ACTOR,
      reason: "PERMISSION_DENIED",
      instanceUuid: uuidOf(1),
      consoleType: "serial",
    });
    await log.recordRefusal({ actor: ACTOR, reason: "PERMISSION_DENIED" });
    const rows = await db.sql(
      `select action, reason, subject, project_id, request_id, client_address, instance_uuid, console_type
       from audit_events order by event_id`,
    );
    const who = { subject: "alice", project_id: "p1", request_id: "req-1", client_address: "127.0.0.1" };
    const what = { action: "refused", reason: "PERMISSION_DENIED", ...who };
    expect(rows).to.deep.equal([
      { ...what, instance_uuid: uuidOf(1), console_type: "serial" },
      { ...what, instance_uuid: null, console_type: null },
    ]);
  });
});
