// SPDX-License-Identifier: Apache-2.0
// SessionService and AuditService as their clients see them: real gRPC, real Postgres.
import { credentials } from "@grpc/grpc-js";
import type { ClientReadableStream, ServiceError as GrpcError } from "@grpc/grpc-js";
import { expect } from "chai";
import { AuditAction, AuditServiceClient } from "../../../proto/gen/spicegate/audit/v1/audit.js";
import type { GetSessionResponse, WatchSessionsResponse } from "../../../proto/gen/spicegate/session/v1/session.js";
import {
  ChannelType,
  EndReason,
  ListSessionsRequest,
  SessionServiceClient,
} from "../../../proto/gen/spicegate/session/v1/session.js";
import { ListAuditEventsRequest } from "../../../proto/gen/spicegate/audit/v1/audit.js";
import { addAuditService } from "../../../src/api/audit-service.js";
import { addSessionService } from "../../../src/api/session-service.js";
import { AuditLog } from "../../../src/audit/audit-log.js";
import { AuditReader } from "../../../src/audit/audit-reader.js";
import { ManageSessions } from "../../../src/console/manage-sessions.js";
import { VerbGate } from "../../../src/console/verb-gate.js";
import type { OpenedSession } from "../../../src/console/viewer.js";
import { silentLog } from "../../../src/lib/log.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { ruleOf } from "../../../src/policy/method-rules.js";
import { Policy } from "../../../src/policy/policy.js";
import { GrpcServer } from "../../../src/rpc/grpc-server.js";
import { StreamHandlers } from "../../../src/rpc/stream-handler.js";
import { UnaryHandlers } from "../../../src/rpc/unary-handler.js";
import { SessionWatches } from "../../../src/sessions/session-watches.js";
import { WatchStore } from "../../../src/sessions/watch-store.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { callersAre } from "../../harness/callers.js";
import type { CallResult } from "../../harness/grpc-client.js";
import { callUnary, errorDetails } from "../../harness/grpc-client.js";
import { authorize, uuidOf } from "../../harness/inventory.js";
import { placeInstance } from "../../harness/stored-sessions.js";
import { TestDatabase } from "../../harness/test-database.js";
import { ViewerParts } from "../../harness/viewer-parts.js";
import { until, within } from "../../harness/within.js";

const VM = uuidOf(1);
const OTHER = uuidOf(2);
const ADMIN: Caller = { subject: "root", project: "", roles: ["admin"] };
const MEMBER: Caller = { subject: "alice", project: "p1", roles: ["member"] };

/** The messages of a watch, one after the other. */
class Watch {
  readonly #call: ClientReadableStream<WatchSessionsResponse>;
  readonly #messages: WatchSessionsResponse[] = [];
  /** The reason that it fails with. */
  readonly failure: Promise<string>;

  constructor(call: ClientReadableStream<WatchSessionsResponse>) {
    this.#call = call;
    call.on("data", (message: WatchSessionsResponse) => void this.#messages.push(message));
    this.failure = new Promise((resolve) => {
      call.on("error", (error: GrpcError) => resolve(errorDetails(error.metadata).info?.reason ?? error.details));
    });
  }

  async next(): Promise<WatchSessionsResponse> {
    await until("the next step of a watch", () => this.#messages.length > 0);
    return this.#messages.shift()!;
  }

  /** What the next message says, in short. */
  async short(): Promise<string> {
    const { event } = await this.next();
    if (event?.$case !== "session") return event?.$case ?? "nothing";
    const { sessionId, openChannels, endReason } = event.session;
    return `${sessionId} ${openChannels} ${endReason}`;
  }

  cancel(): void {
    this.#call.cancel();
  }
}

/** One controller's API for one caller. */
class Api {
  readonly streams: StreamHandlers;
  readonly watches: SessionWatches;
  readonly #server: GrpcServer;
  #sessions: SessionServiceClient | undefined;
  #audit: AuditServiceClient | undefined;

  constructor(db: TestDatabase, parts: ViewerParts, caller: Caller) {
    const { database } = db;
    const log = silentLog;
    const metrics = createControllerMetrics(createRegistry());
    const callers = callersAre(caller);
    const { guardOf } = new VerbGate({ policy: new Policy(), audit: new AuditLog(database), log });
    const handlers = new UnaryHandlers({ callers, guardOf, log, metrics });
    this.streams = new StreamHandlers({ callers, guardOf, log, metrics });
    this.watches = new SessionWatches({ store: new WatchStore(database), log, metrics });
    const { sessions, endings } = parts;
    const manage = new ManageSessions({
      sessions,
      endings,
      watches: this.watches,
      refusals: { record: () => undefined },
    });
    this.#server = new GrpcServer({
      name: "test",
      listen: { host: "127.0.0.1", port: 0 },
      log,
      requireRule: ruleOf,
      addServices: (server) => {
        addSessionService(server, { handlers, streams: this.streams, sessions: manage });
        addAuditService(server, handlers, new AuditReader(database));
      },
    });
  }

  get sessions(): SessionServiceClient {
    return (this.#sessions ??= new SessionServiceClient(this.#address, credentials.createInsecure()));
  }

  get audit(): AuditServiceClient {
    return (this.#audit ??= new AuditServiceClient(this.#address, credentials.createInsecure()));
  }

  get #address(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  start(): Promise<void> {
    return this.#server.start();
  }

  async stop(): Promise<void> {
    await this.streams.stop();
    await this.watches.stop();
    this.#sessions?.close();
    this.#audit?.close();
    await this.#server.stop();
  }

  async list(request: Partial<ListSessionsRequest> = {}): Promise<readonly string[]> {
    const result = await callUnary(
      this.sessions.listSessions.bind(this.sessions),
      ListSessionsRequest.fromPartial(request),
    );
    return result.ok ? result.response.sessions.map(({ sessionId }) => sessionId) : [result.failure.reason];
  }

  get(sessionId: string): Promise<CallResult<GetSessionResponse>> {
    return callUnary(this.sessions.getSession.bind(this.sessions), { sessionId });
  }

  terminate(sessionId: string): Promise<CallResult<GetSessionResponse>> {
    return callUnary(this.sessions.terminateSession.bind(this.sessions), { sessionId });
  }

  watch(instanceUuid = ""): Watch {
    return new Watch(this.sessions.watchSessions({ instanceUuid }));
  }

  async events(request: Partial<ListAuditEventsRequest> = {}): Promise<readonly string[]> {
    const result = await callUnary(
      this.audit.listAuditEvents.bind(this.audit),
      ListAuditEventsRequest.fromPartial(request),
    );
    return result.ok
      ? result.response.events.map(({ action, reason }) => `${action} ${reason}`)
      : [result.failure.reason];
  }
}

function reasonOfCall(result: CallResult<unknown>): string {
  return result.ok ? "OK" : result.failure.reason;
}

describe("SessionService and AuditService", () => {
  let db: TestDatabase;
  let parts: ViewerParts;
  let admin: Api;
  let member: Api;
  let own: OpenedSession;
  let other: OpenedSession;

  before(async () => {
    db = await TestDatabase.create();
  });
  after(() => db.stop());

  beforeEach(async () => {
    await db.clear();
    await placeInstance(db, VM);
    await placeInstance(db, OTHER, "p2");
    parts = new ViewerParts(db);
    admin = new Api(db, parts, ADMIN);
    member = new Api(db, parts, MEMBER);
    await Promise.all([admin.start(), member.start()]);
    own = await begin(VM);
    other = await begin(OTHER);
  });

  afterEach(async () => {
    await Promise.all([admin.stop(), member.stop()]);
    await parts.stop();
  });

  async function begin(uuid: string): Promise<OpenedSession> {
    const { token } = await authorize(db.database, uuid, "a");
    return parts.redeeming.execute(token, parts.context());
  }

  const idOf = ({ session }: OpenedSession): string => session.sessionId;

  describe("ListSessions", () => {
    it("shows what the caller sees, newest first", async () => {
      expect(await admin.list()).to.deep.equal([idOf(other), idOf(own)]);
      expect(await member.list()).to.deep.equal([idOf(own)]);
    });

    it("filters, and leaves out those that have ended unless asked", async () => {
      expect(await admin.list({ instanceUuid: VM })).to.deep.equal([idOf(own)]);
      expect(await admin.list({ host: "b" })).to.deep.equal([]);
      expect(await admin.list({ subject: "alice", host: "a" })).to.have.length(2);
      await admin.terminate(idOf(own));
      expect(await admin.list()).to.deep.equal([idOf(other)]);
      expect(await admin.list({ includeEnded: true })).to.deep.equal([idOf(other), idOf(own)]);
    });

    it("pages", async () => {
      const request = ListSessionsRequest.fromPartial({ pageSize: 1 });
      const list = admin.sessions.listSessions.bind(admin.sessions);
      const first = await callUnary(list, request);
      if (!first.ok) throw new Error(first.failure.reason);
      const pageToken = first.response.nextPageToken;
      const second = await callUnary(list, { ...request, pageToken });
      if (!second.ok) throw new Error(second.failure.reason);
      expect(first.response.sessions[0]?.sessionId).to.equal(idOf(other));
      expect(second.response.sessions[0]?.sessionId).to.equal(idOf(own));
      expect(second.response.nextPageToken).to.equal("");
      expect(await admin.list({ pageSize: 1, pageToken, host: "a" })).to.deep.equal(["INVALID_ARGUMENT"]);
    });

    it("refuses malformed filters", async () => {
      expect(await admin.list({ instanceUuid: "x" })).to.deep.equal(["INVALID_ARGUMENT"]);
      expect(await admin.list({ pageSize: 1_001 })).to.deep.equal(["INVALID_ARGUMENT"]);
    });
  });

  describe("GetSession", () => {
    it("shows the session with its channels", async () => {
      const { channel } = await parts.channel(own);
      await channel.connect({ connectionId: 0, type: 1, number: 0 });
      channel.toViewer(2 ** 33);
      await parts.registry.sync();
      const result = await member.get(idOf(own));
      const session = result.ok ? result.response.session : undefined;
      expect(session).to.deep.include({
        instanceUuid: VM,
        instanceName: "vm",
        projectId: "p1",
        host: "a",
        consoleType: "spice-html5",
        subject: "alice",
        clientAddress: "192.0.2.9",
        openChannels: 1,
        endReason: EndReason.END_REASON_UNSPECIFIED,
      });
      expect(session?.channels[0]).to.deep.include({
        channelId: channel.channelId,
        type: ChannelType.CHANNEL_TYPE_MAIN,
        bytesToViewer: 2n ** 33n,
        closedAt: undefined,
      });
    });

    it("tells what the caller does not see as it tells what is not there", async () => {
      expect(reasonOfCall(await member.get(idOf(other)))).to.equal("SESSION_NOT_FOUND");
      expect(reasonOfCall(await member.get("nonsense"))).to.equal("SESSION_NOT_FOUND");
      expect(reasonOfCall(await member.get(""))).to.equal("INVALID_ARGUMENT");
    });
  });

  describe("TerminateSession", () => {
    it("ends the session by the caller's name, closes its channels, and answers the same the second time", async () => {
      const { told } = await parts.channel(own);
      const first = await member.terminate(idOf(own));
      expect(await within("the word", told)).to.deep.equal({ reason: "TERMINATED", code: 4001 });
      const session = first.ok ? first.response.session : undefined;
      expect(session).to.deep.include({ endReason: EndReason.END_REASON_TERMINATED, endedBy: "alice" });
      const second = await admin.terminate(idOf(own));
      expect(second.ok && second.response.session?.endedAt).to.deep.equal(session?.endedAt);
      expect(second.ok && second.response.session?.endedBy).to.equal("alice");
    });

    it("is not for other projects", async () => {
      expect(reasonOfCall(await member.terminate(idOf(other)))).to.equal("SESSION_NOT_FOUND");
      expect(await admin.list()).to.have.length(2);
    });
  });

  describe("WatchSessions", () => {
    it("sends the open sessions, SYNCED, and then each change of them, with a growing revision", async () => {
      const watch = admin.watch();
      const [first, second, third] = [await watch.next(), await watch.next(), await watch.next()];
      const ids = [first, second].map(({ event }) => event?.$case === "session" && event.session.sessionId);
      expect(ids).to.deep.equal([idOf(own), idOf(other)]);
      expect(third.event?.$case).to.equal("synced");
      expect([first, second, third].map(({ revision }) => revision)).to.deep.equal([1n, 2n, 3n]);
      const channel = await parts.viewers.openChannel(idOf(own), own.proof, parts.context());
      expect(await watch.short()).to.equal(`${idOf(own)} 1 0`);
      await admin.terminate(idOf(own));
      expect(await watch.short()).to.equal(`${idOf(own)} 1 ${EndReason.END_REASON_TERMINATED}`);
      // Which is nothing new of a session that has ended.
      channel.closed("TERMINATED");
      await parts.registry.sync();
      const later = await begin(VM);
      expect(await watch.short()).to.equal(`${idOf(later)} 0 0`);
      watch.cancel();
    });

    it("sends only what the caller sees and asks for", async () => {
      const [mine, filtered] = [member.watch(), admin.watch(OTHER)];
      expect(await mine.short()).to.equal(`${idOf(own)} 0 0`);
      expect(await filtered.short()).to.equal(`${idOf(other)} 0 0`);
      for (const watch of [mine, filtered]) expect(await watch.short()).to.equal("synced");
      await admin.terminate(idOf(other));
      await admin.terminate(idOf(own));
      expect(await mine.short()).to.equal(`${idOf(own)} 0 1`);
      expect(await filtered.short()).to.equal(`${idOf(other)} 0 1`);
      for (const watch of [mine, filtered]) watch.cancel();
    });

    it("finds what a transaction wrote that ends after later ones", async () => {
      const watch = admin.watch();
      for (let step = 0; step < 3; step += 1) await watch.next();
      let late: Promise<unknown> = Promise.resolve();
      await db.database.transaction(async (querier) => {
        const touch =
          "update console_sessions set subject = 'late', changed_in = pg_current_xact_id() where session_id = $1";
        await querier.query({ text: touch, values: [idOf(own)] });
        await admin.terminate(idOf(other));
        expect(await watch.short()).to.equal(`${idOf(other)} 0 1`);
        await admin.watches.look();
        late = watch.next();
      });
      const message = (await late) as WatchSessionsResponse;
      expect(message.event?.$case === "session" && message.event.session.subject).to.equal("late");
      watch.cancel();
    });

    it("ends with DRAINING when the controller stops, and refuses a malformed filter", async () => {
      const watch = admin.watch();
      for (let step = 0; step < 3; step += 1) await watch.next();
      await admin.streams.stop();
      expect(await within("the end", watch.failure)).to.equal("DRAINING");
      expect(await within("the refusal", admin.watch().failure)).to.equal("DRAINING");
      expect(await within("the refusal", member.watch("x").failure)).to.equal("INVALID_ARGUMENT");
    });
  });

  describe("ListAuditEvents", () => {
    it("tells what happened, newest first, and filters", async () => {
      const { channel } = await parts.channel(own);
      channel.closed("VIEWER_LEFT");
      await parts.registry.sync();
      await admin.terminate(idOf(own));
      const { AUDIT_ACTION_ENDED: ended, AUDIT_ACTION_CHANNEL_CLOSED: closed } = AuditAction;
      const story = [
        `${ended} TERMINATED`,
        `${closed} VIEWER_LEFT`,
        `${AuditAction.AUDIT_ACTION_CHANNEL_OPENED} `,
        `${AuditAction.AUDIT_ACTION_REDEEMED} `,
      ];
      expect(await admin.events({ sessionId: idOf(own) })).to.deep.equal(story);
      expect(await admin.events({ instanceUuid: VM })).to.deep.equal([...story, `${AuditAction.AUDIT_ACTION_ISSUED} `]);
      expect(await admin.events({ subject: "root" })).to.deep.equal([`${ended} TERMINATED`]);
      expect(await admin.events({ action: closed })).to.deep.equal([`${closed} VIEWER_LEFT`]);
      expect(await admin.events({ since: new Date(Date.now() + 60_000) })).to.deep.equal([]);
      expect(await admin.events({ until: new Date(Date.now() - 60_000) })).to.deep.equal([]);
      expect(await admin.events({ pageSize: 2 })).to.deep.equal(story.slice(0, 2));
    });

    it("is not for members, and refuses what it does not know", async () => {
      expect(await member.events()).to.deep.equal(["PERMISSION_DENIED"]);
      expect(await admin.events({ action: 99 as AuditAction })).to.deep.equal(["INVALID_ARGUMENT"]);
      expect(await admin.events({ since: new Date(8.64e15) })).to.deep.equal(["INVALID_ARGUMENT"]);
    });
  });
});
