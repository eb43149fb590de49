// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Refusal } from "../../../src/audit/audit-log.js";
import { subjectOf, VerbGate } from "../../../src/console/verb-gate.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { Policy } from "../../../src/policy/policy.js";
import type { Caller, Role } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { FakeLog } from "../../fakes/fake-log.js";
import { rejectionOf } from "../../harness/rejection.js";

const UUID = "00000000-0000-4000-8000-00000000000a";
const REVOKE = "/spicegate.console.v1.ConsoleService/RevokeConsoleTokens";

function contextOf(caller: Caller): RequestContext {
  const remainingMs = (): number => 1_000;
  return { caller, requestId: "r", clientAddress: "c", signal: new AbortController().signal, remainingMs };
}

const as = (role: Role): RequestContext => contextOf({ subject: "s", project: "p", roles: [role] });

describe("VerbGate", () => {
  let noted: Refusal[];
  let auditFails: boolean;
  let log: FakeLog;
  let gate: VerbGate;

  beforeEach(() => {
    noted = [];
    auditFails = false;
    log = new FakeLog();
    const recordRefusal = (refusal: Refusal): Promise<void> => {
      noted.push(refusal);
      return auditFails ? Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away")) : Promise.resolve();
    };
    gate = new VerbGate({ policy: new Policy(), audit: { recordRefusal }, log: log.log });
  });

  /** What the guard of a method throws, if anything. */
  const refusal = (path: string, context: RequestContext, request: unknown = {}): Promise<Error | undefined> =>
    Promise.resolve()
      .then(() => gate.guardOf(path).admit(context, request))
      .then(
        () => undefined,
        (error: unknown) => error as Error,
      );

  it("lets in by the verb of the method", async () => {
    expect(await refusal(REVOKE, as("member"))).to.equal(undefined);
    expect(noted).to.deep.equal([]);
  });

  it("refuses whoever has not the verb, and notes what the call was about", async () => {
    const error = await refusal(REVOKE, as("reader"), { instanceUuid: UUID.toUpperCase() });
    expect(error).to.have.property("reason", "PERMISSION_DENIED");
    const actor = { subject: "s", projectId: "p", requestId: "r", clientAddress: "c" };
    const about = { instanceUuid: UUID, consoleType: undefined, sessionId: undefined };
    expect(noted).to.deep.equal([{ ...about, actor, reason: "PERMISSION_DENIED" }]);
    expect(log.at("info")[0]).to.include({ audit: "refused", reason: "PERMISSION_DENIED", instance: UUID });
  });

  it("refuses whether or not that could be noted", async () => {
    auditFails = true;
    expect(await refusal(REVOKE, as("reader"))).to.have.property("reason", "PERMISSION_DENIED");
    expect(log.at("error")).to.have.length(1);
    expect(await rejectionOf(gate.deny("no", as("reader"), {}))).to.have.property("reason", "PERMISSION_DENIED");
  });

  it("asks of no method but those for strangers, hosts and agents who it is", async () => {
    const whoami = "/spicegate.identity.v1.IdentityService/GetCaller";
    expect([REVOKE, whoami].map((path) => gate.guardOf(path).asksWho)).to.deep.equal([true, true]);
    expect(await refusal(whoami, contextOf({ subject: "s", project: "", roles: [] }))).to.equal(undefined);
    for (const path of ["/grpc.health.v1.Health/Check", "/spicegate.agent.v1.EnrollmentService/Enroll"]) {
      expect(gate.guardOf(path).asksWho, path).to.equal(false);
      expect(await refusal(path, contextOf(NOBODY)), path).to.equal(undefined);
    }
    expect(noted).to.deep.equal([]);
  });

  it("has no guard for a method without a rule", () => {
    expect(() => gate.guardOf("/spicegate.console.v1.ConsoleService/Unknown")).to.throw("has no rule");
  });

  it("writes down of a request only what can be", () => {
    const none = { instanceUuid: undefined, consoleType: undefined, sessionId: undefined };
    for (const request of [undefined, null, "x", {}, { instanceUuid: "no-uuid", consoleType: "\0", sessionId: 7 }]) {
      expect(subjectOf(request)).to.deep.equal(none);
    }
    expect(subjectOf({ instance: { instanceUuid: UUID } })).to.deep.equal({ ...none, instanceUuid: UUID });
    expect(subjectOf({ sessionId: "s", consoleType: "t" })).to.deep.equal({
      ...none,
      sessionId: "s",
      consoleType: "t",
    });
    expect(subjectOf({ sessionId: "s".repeat(1_000) })).to.deep.equal(none);
  });
});
