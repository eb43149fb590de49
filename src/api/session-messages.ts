// SPDX-License-Identifier: Apache-2.0
// Between the session protocol's words and ours.
import type {
  Channel as ChannelMessage,
  ListSessionsRequest,
  Session as SessionMessage,
  WatchSessionsResponse,
} from "../../proto/gen/spicegate/session/v1/session.js";
import { ChannelType, EndReason } from "../../proto/gen/spicegate/session/v1/session.js";
import { MAX_HOST_LENGTH, MAX_NAME_LENGTH, MAX_SESSION_ID_LENGTH } from "../lib/limits.js";
import { parseText, parseUuid } from "../lib/validate.js";
import type { Channel, ChannelEndReason, Session, SessionWithChannels } from "../sessions/session.js";
import type { SessionFilters } from "../sessions/session-store.js";
import type { WatchStep } from "../sessions/session-watches.js";

const END_REASONS = {
  TERMINATED: EndReason.END_REASON_TERMINATED,
  INSTANCE_STOPPED: EndReason.END_REASON_INSTANCE_STOPPED,
  INSTANCE_CRASHED: EndReason.END_REASON_INSTANCE_CRASHED,
  INSTANCE_DELETED: EndReason.END_REASON_INSTANCE_DELETED,
  SESSION_EXPIRED: EndReason.END_REASON_SESSION_EXPIRED,
  IDLE: EndReason.END_REASON_IDLE,
  TAKEN_OVER: EndReason.END_REASON_TAKEN_OVER,
  ABANDONED: EndReason.END_REASON_ABANDONED,
  AGENT_GONE: EndReason.END_REASON_AGENT_GONE,
  CONTROLLER_DRAINING: EndReason.END_REASON_CONTROLLER_DRAINING,
  CONTROLLER_GONE: EndReason.END_REASON_CONTROLLER_GONE,
  VIEWER_LEFT: EndReason.END_REASON_VIEWER_LEFT,
  VIEWER_SILENT: EndReason.END_REASON_VIEWER_SILENT,
  DISPLAY_CLOSED: EndReason.END_REASON_DISPLAY_CLOSED,
  REFUSED: EndReason.END_REASON_REFUSED,
  INSTANCE_MOVED: EndReason.END_REASON_INSTANCE_MOVED,
} as const satisfies Record<ChannelEndReason, EndReason>;

/** The protocol's numbers are SPICE's own. */
const CHANNEL_TYPES: readonly number[] = Object.values(ChannelType);

/** A session's id; one of another shape is simply not found. Throws INVALID_ARGUMENT. */
export function sessionIdFrom(text: string): string {
  return parseText(text, { field: "session_id", most: MAX_SESSION_ID_LENGTH, required: true });
}

/** The machine to filter by; undefined where the text is empty. Throws INVALID_ARGUMENT. */
export function instanceFilterFrom(text: string): string | undefined {
  return text === "" ? undefined : parseUuid(text, "instance_uuid");
}

/** The filters of a list. Throws INVALID_ARGUMENT. */
export function sessionFiltersFrom(request: ListSessionsRequest): Omit<SessionFilters, "projectId"> {
  const orAny = (text: string): string | undefined => (text === "" ? undefined : text);
  return {
    instanceUuid: instanceFilterFrom(request.instanceUuid),
    host: orAny(parseText(request.host, { field: "host", most: MAX_HOST_LENGTH })),
    subject: orAny(parseText(request.subject, { field: "subject", most: MAX_NAME_LENGTH })),
    includeEnded: request.includeEnded,
  };
}

/** A session for the wire. */
export function messageFromSession(session: Session, channels: readonly Channel[] = []): SessionMessage {
  return {
    sessionId: session.sessionId,
    instanceUuid: session.instanceUuid,
    instanceName: session.instanceName,
    projectId: session.projectId,
    host: session.host,
    consoleType: session.consoleType,
    subject: session.subject,
    clientAddress: session.clientAddress,
    openedAt: session.openedAt,
    lastInputAt: session.lastInputAt,
    expiresAt: session.expiresAt,
    endedAt: session.endedAt,
    endReason: endReasonFrom(session.endReason),
    endedBy: session.endedBy,
    channels: channels.map(messageFromChannel),
    openChannels: session.openChannels,
    viewOnly: session.viewOnly,
  };
}

/** A session with its channels for the wire. */
export function messageFromSessionWithChannels(session: SessionWithChannels): SessionMessage {
  return messageFromSession(session, session.channels);
}

/** One step of a watch for the wire. */
export function messageFromWatchStep(step: WatchStep, revision: bigint): WatchSessionsResponse {
  if (step.kind === "synced") return { revision, event: { $case: "synced", synced: {} } };
  return { revision, event: { $case: "session", session: messageFromSessionWithChannels(step.session) } };
}

function messageFromChannel(channel: Channel): ChannelMessage {
  return {
    channelId: channel.channelId,
    type: channelTypeFrom(channel.type),
    number: channel.number ?? 0,
    controllerId: channel.controllerId,
    clientAddress: channel.clientAddress,
    openedAt: channel.openedAt,
    closedAt: channel.closedAt,
    closeReason: endReasonFrom(channel.closeReason),
    bytesToMachine: channel.bytesToMachine,
    bytesToViewer: channel.bytesToViewer,
  };
}

function endReasonFrom(reason: ChannelEndReason | undefined): EndReason {
  return reason === undefined ? EndReason.END_REASON_UNSPECIFIED : END_REASONS[reason];
}

function channelTypeFrom(type: number | undefined): ChannelType {
  return type !== undefined && CHANNEL_TYPES.includes(type)
    ? (type as ChannelType)
    : ChannelType.CHANNEL_TYPE_UNSPECIFIED;
}
