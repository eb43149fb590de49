// SPDX-License-Identifier: Apache-2.0
import type { Session } from "../../src/sessions/session.js";
import { ChannelStore } from "../../src/sessions/channel-store.js";
import type { ChannelStoreOptions, OpenedChannel } from "../../src/sessions/channel-store.js";
import { SessionStore } from "../../src/sessions/session-store.js";
import type { BegunSession } from "../../src/sessions/session-beginnings.js";
import { SessionBeginnings } from "../../src/sessions/session-beginnings.js";
import type { SessionRules } from "../../src/sessions/session-rules.js";
import { hashToken } from "../../src/tokens/token.js";
import { authorize, registrationOf, registryOn } from "./inventory.js";
import type { TestDatabase } from "./test-database.js";

/** Sessions without a limit that can be joined for a minute. */
export const RULES: SessionRules = {
  maxLengthS: 0,
  endsWithToken: false,
  rejoinS: 60,
  idleS: 0,
  maxPerInstance: 0,
  maxPerCaller: 0,
  secondViewer: "share",
};

/** The controller of most tests. */
export const CONTROLLER = "controller-1";

/** Puts an instance of project p1 on host a. */
export async function placeInstance(db: TestDatabase, uuid: string, project = "p1"): Promise<void> {
  await registryOn(db.database).register(registrationOf(uuid, { name: "vm", projectId: project, host: "a" }));
}

/** A store of sessions with the given rules. */
export function sessionStore(db: TestDatabase, rules: Partial<SessionRules> = {}): SessionStore {
  return new SessionStore(db.database, { ...RULES, ...rules });
}

/** What begins sessions under the given rules. */
export function sessionBeginnings(db: TestDatabase, rules: Partial<SessionRules> = {}): SessionBeginnings {
  return new SessionBeginnings(db.database, { ...RULES, ...rules });
}

/** A store of the channels of one controller. */
export function channelStore(db: TestDatabase, options: Partial<ChannelStoreOptions> = {}): ChannelStore {
  return new ChannelStore({ database: db.database, controllerId: CONTROLLER, maxChannels: 32, ...options });
}

/** Redeems a token for an instance on host a. */
export function redeem(
  beginnings: SessionBeginnings,
  token: string,
  instanceUuid: string,
): Promise<BegunSession | undefined> {
  return beginnings.redeem({
    tokenHash: hashToken(token),
    consoleType: "spice-html5",
    instanceUuid,
    host: "a",
    requestId: "req-2",
    clientAddress: "192.0.2.7",
  });
}

/** Issues a token and begins its session. */
export async function beginSession(
  db: TestDatabase,
  instanceUuid: string,
  rules: Partial<SessionRules> = {},
): Promise<BegunSession> {
  const { token } = await authorize(db.database, instanceUuid, "a");
  const begun = await redeem(sessionBeginnings(db, rules), token, instanceUuid);
  if (!begun) throw new Error("the token was not redeemed");
  return begun;
}

/** Opens a channel of a session. */
export function openChannel(store: ChannelStore, { session, proof }: BegunSession): Promise<OpenedChannel | undefined> {
  const { sessionId } = session;
  return store.open({ sessionId, proof, requestId: "req-3", clientAddress: "192.0.2.8" });
}

/** Opens a channel that must be let in. */
export async function requireChannel(store: ChannelStore, begun: BegunSession): Promise<OpenedChannel> {
  const opened = await openChannel(store, begun);
  if (!opened) throw new Error("the channel was not let in");
  return opened;
}

/** What a session looks like now, in the words of the database. */
export async function storedSession(db: TestDatabase, { sessionId }: Session): Promise<StoredSession> {
  const [row] = await db.sql<StoredSession>(
    `select open_channels, empty_since is not null as empty, end_reason, ended_by, last_input_at
     from console_sessions where session_id = $1`,
    [sessionId],
  );
  if (!row) throw new Error(`session ${sessionId} is not stored`);
  return row;
}

/** Some columns of console_sessions. */
export interface StoredSession {
  readonly open_channels: number;
  readonly empty: boolean;
  readonly end_reason: string | null;
  readonly ended_by: string;
  readonly last_input_at: Date | null;
}

/** The audit of a session, oldest first. */
export function auditOf(
  db: TestDatabase,
  { sessionId }: Session,
): Promise<readonly { action: string; reason: string }[]> {
  return db.sql("select action, reason from audit_events where session_id = $1 order by event_id", [sessionId]);
}
