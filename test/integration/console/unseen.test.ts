// SPDX-License-Identifier: Apache-2.0
// What nobody has and what somebody else has are the same to a caller who is bound to a project: the same statements are
// executed and find nothing, the same is answered, the same is noted. What takes the same way takes the same time.
import { expect } from "chai";
import { AgentRouter } from "../../../src/agents/agent-router.js";
import type { Refusal } from "../../../src/audit/audit-log.js";
import { loadControllerConfig } from "../../../src/config/controller-config.js";
import { VerbGate } from "../../../src/console/verb-gate.js";
import { NO_LEGACY_TOKENS } from "../../../src/consoleauth/console-auth.js";
import type { Statement } from "../../../src/db/connection.js";
import { HostCertificateStore } from "../../../src/identity/host-certificate-store.js";
import { JoinTokenStore } from "../../../src/identity/join-token-store.js";
import type { InstanceRegistry } from "../../../src/instances/instance-registry.js";
import { silentLog } from "../../../src/lib/log.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { Policy } from "../../../src/policy/policy.js";
import type { Caller } from "../../../src/rpc/caller.js";
import type { RequestContext } from "../../../src/rpc/request-context.js";
import { SessionWatches } from "../../../src/sessions/session-watches.js";
import { WatchStore } from "../../../src/sessions/watch-store.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import type { UseCases } from "../../../src/use-cases.js";
import { createUseCases } from "../../../src/use-cases.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { registrationOf, registryOn, uuidOf } from "../../harness/inventory.js";
import { beginSession, channelStore, requireChannel, sessionStore } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";

const OURS = uuidOf(1);
const THEIRS = uuidOf(2);
const NOBODYS = uuidOf(3);
const WITHOUT_PROJECT = uuidOf(4);
const NO_SESSION = "A".repeat(22);
const MEMBER: Caller = { subject: "mallory", project: "ours", roles: ["member"] };
const HOMELESS: Caller = { subject: "eve", project: "", roles: ["member"] };

const PAGE = { size: 10, token: "" };

/** Everything that takes an instance's uuid. */
const OF_INSTANCES = {
  getInstance: ({ inventory }: UseCases, id: string, as: RequestContext) => inventory.getInstance(id, as),
  listInstancesAfter: ({ inventory }: UseCases, after: string, as: RequestContext) =>
    inventory.listInstances({ after }, PAGE, as),
  getSpiceConsole: ({ getSpiceConsole }: UseCases, instanceUuid: string, as: RequestContext) =>
    getSpiceConsole.execute({ instanceUuid, consoleType: "" }, as),
  revokeConsoleTokens: ({ revokeConsoleTokens }: UseCases, id: string, as: RequestContext) =>
    revokeConsoleTokens.execute(id, as),
  listSessions: ({ sessions }: UseCases, instanceUuid: string, as: RequestContext) =>
    sessions.list({ instanceUuid, includeEnded: true }, PAGE, as),
  watchSessions: async ({ sessions }: UseCases, instanceUuid: string, as: RequestContext) => {
    for await (const step of sessions.watch(instanceUuid, as)) return step;
    return undefined;
  },
} as const;

/** Everything that takes a session's id. */
const OF_SESSIONS = {
  getSession: ({ sessions }: UseCases, id: string, as: RequestContext) => sessions.get(id, as),
  terminateSession: ({ sessions }: UseCases, id: string, as: RequestContext) => sessions.terminate(id, as),
} as const;

/** What a call left behind. */
interface Trace {
  readonly answer: unknown;
  readonly statements: readonly unknown[];
  readonly refusals: readonly Refusal[];
}

describe("What a caller does not see", () => {
  let db: TestDatabase;
  let registry: InstanceRegistry;
  let useCases: UseCases;
  let theirSession: string;
  let homelessSession: string;
  const statements: { readonly query: Statement; readonly rows: number }[] = [];
  const refusals: Refusal[] = [];

  before(async () => {
    db = await TestDatabase.create();
    const { database } = db;
    registry = registryOn(database);
    registry.start();
    await registry.loaded();
    for (const [uuid, projectId] of [
      [OURS, "ours"],
      [THEIRS, "theirs"],
      [WITHOUT_PROJECT, ""],
    ] as const) {
      await registry.register(registrationOf(uuid, { projectId, host: "a" }));
    }
    const begun = await beginSession(db, THEIRS);
    await requireChannel(channelStore(db), begun);
    theirSession = begun.session.sessionId;
    homelessSession = (await beginSession(db, WITHOUT_PROJECT)).session.sessionId;
    useCases = createUseCases({
      config: loadControllerConfig({ env: {} }),
      database,
      instances: registry,
      agents: new AgentRouter({ log: silentLog, metrics: createControllerMetrics(createRegistry()) }),
      viewers: {
        sessions: sessionStore(db),
        endings: { terminate: () => Promise.reject(new Error("a session was ended")) },
        watches: { watch: (filter, signal) => newWatches().watch(filter, signal) },
        displays: { requireReachable: () => undefined },
      },
      refusals: { record: (refusal) => void refusals.push(refusal) },
      legacy: NO_LEGACY_TOKENS,
      hosts: {
        authority: undefined,
        joinTokens: new JoinTokenStore(database),
        certificates: new HostCertificateStore(database),
      },
      policy: new Policy(),
      gate: new VerbGate({ policy: new Policy(), audit: undefined, log: silentLog }),
      log: silentLog,
    });
    const query = database.query.bind(database);
    database.query = async <Row>(asked: Statement): Promise<readonly Row[]> => {
      const rows = await query<Row>(asked);
      statements.push({ query: asked, rows: rows.length });
      return rows;
    };
  });

  after(async () => {
    await registry.stop();
    await db.stop();
  });

  /** Those of an earlier call would look for changes in between. */
  const newWatches = (): SessionWatches => {
    const metrics = createControllerMetrics(createRegistry());
    const store = new WatchStore(db.database);
    return new SessionWatches({ store, log: silentLog, metrics, clock: new FakeClock() });
  };

  const contextOf = (caller: Caller): RequestContext => {
    const { signal } = new AbortController();
    return { caller, requestId: "r", clientAddress: "c", signal, remainingMs: () => 5_000 };
  };

  /** What a call by a member leaves behind, with `as` in place of the id that it named. */
  async function trace(
    call: (useCases: UseCases, id: string, context: RequestContext) => Promise<unknown>,
    id: string,
    caller: Caller,
    as: string,
  ): Promise<Trace> {
    statements.length = 0;
    refusals.length = 0;
    const answer = await call(useCases, id, contextOf(caller)).catch((error: unknown) => {
      if (!(error instanceof ServiceError)) throw error;
      return { reason: error.reason, message: error.message, metadata: error.metadata };
    });
    return JSON.parse(JSON.stringify({ answer, statements, refusals }).replaceAll(id, as)) as Trace;
  }

  for (const [name, call] of Object.entries(OF_INSTANCES)) {
    it(`${name} answers alike for somebody else's instance and for nobody's`, async () => {
      expect(registry.find(THEIRS), "it is in memory").to.not.equal(undefined);
      const nobodys = await trace(call, NOBODYS, MEMBER, NOBODYS);
      expect(await trace(call, THEIRS, MEMBER, NOBODYS)).to.deep.equal(nobodys);
      expect(nobodys.statements).to.not.deep.equal([]);
      expect(await trace(call, WITHOUT_PROJECT, HOMELESS, NOBODYS)).to.deep.equal(
        await trace(call, NOBODYS, HOMELESS, NOBODYS),
      );
    });
  }

  for (const [name, call] of Object.entries(OF_SESSIONS)) {
    it(`${name} answers alike for somebody else's session and for none`, async () => {
      const none = await trace(call, NO_SESSION, MEMBER, NO_SESSION);
      expect(await trace(call, theirSession, MEMBER, NO_SESSION)).to.deep.equal(none);
      expect(none.statements).to.have.length(1);
      expect(await trace(call, homelessSession, HOMELESS, NO_SESSION)).to.deep.equal(
        await trace(call, NO_SESSION, HOMELESS, NO_SESSION),
      );
    });
  }

  it("is noted, with what was named", async () => {
    const { refusals: ofInstance } = await trace(OF_INSTANCES.getInstance, THEIRS, MEMBER, THEIRS);
    const actor = { subject: "mallory", projectId: "ours", requestId: "r", clientAddress: "c" };
    expect(ofInstance).to.deep.equal([{ reason: "INSTANCE_NOT_FOUND", instanceUuid: THEIRS, actor }]);
    const { refusals: ofSession } = await trace(OF_SESSIONS.getSession, theirSession, MEMBER, theirSession);
    expect(ofSession).to.deep.equal([{ reason: "SESSION_NOT_FOUND", sessionId: theirSession, actor }]);
  });

  it("is nothing to note for who sees every project", async () => {
    const admin: Caller = { ...MEMBER, roles: ["admin"] };
    const { answer, refusals: noted } = await trace(OF_INSTANCES.getInstance, NOBODYS, admin, NOBODYS);
    expect(answer).to.include({ reason: "INSTANCE_NOT_FOUND" });
    expect(noted).to.deep.equal([]);
  });

  it("does not hide what is the caller's own", async () => {
    const { instance } = await useCases.inventory.getInstance(OURS, contextOf(MEMBER));
    expect(instance).to.include({ uuid: OURS });
  });
});
