// SPDX-License-Identifier: Apache-2.0
// The words of sessions. A session is one opened console URL; a channel is one connection of its viewer.
import type { ErrorReason } from "../lib/service-error.js";

/** What ends a session. It cannot be joined again. */
export const SESSION_END_REASONS = [
  "TERMINATED",
  "INSTANCE_STOPPED",
  "INSTANCE_CRASHED",
  "INSTANCE_DELETED",
  "SESSION_EXPIRED",
  "IDLE",
  "TAKEN_OVER",
  "ABANDONED",
] as const;

/** Why a session ended. */
export type SessionEndReason = (typeof SESSION_END_REASONS)[number];

/** Why a channel was closed while its session goes on, so that the viewer may connect again. */
export type ChannelOnlyReason =
  | "AGENT_GONE"
  | "INSTANCE_MOVED"
  | "CONTROLLER_DRAINING"
  | "CONTROLLER_GONE"
  | "VIEWER_LEFT"
  | "VIEWER_SILENT"
  | "DISPLAY_CLOSED"
  | "REFUSED";

/** Why a channel was closed. */
export type ChannelEndReason = SessionEndReason | ChannelOnlyReason;

/**
 * WebSocket close codes of the reasons that a viewer is told; errors close with 4000 plus their HTTP status (ERROR_TABLE).
 * What has none (the viewer itself left, or can no longer hear) needs none. 1000 is RFC 6455's normal closure.
 */
export const CLOSE_CODES = {
  TERMINATED: 4001,
  INSTANCE_STOPPED: 4002,
  INSTANCE_CRASHED: 4003,
  INSTANCE_DELETED: 4004,
  SESSION_EXPIRED: 4005,
  IDLE: 4006,
  TAKEN_OVER: 4007,
  AGENT_GONE: 4008,
  CONTROLLER_DRAINING: 4009,
  INSTANCE_MOVED: 4010,
  DISPLAY_CLOSED: 1000,
} as const satisfies Partial<Record<ChannelEndReason, number>>;

/** A session as it is stored. */
export interface Session {
  /** 128 random bits, base64url; in the page's address, and no secret: the proof is. */
  readonly sessionId: string;
  readonly instanceUuid: string;
  readonly instanceName: string;
  readonly projectId: string;
  /** The host it was opened on; where the instance is now, the inventory knows. */
  readonly host: string;
  readonly consoleType: string;
  /** Who asked for the URL. */
  readonly subject: string;
  /** Where the URL was opened. */
  readonly clientAddress: string;
  readonly openedAt: Date;
  readonly lastInputAt: Date | undefined;
  readonly expiresAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly endReason: SessionEndReason | undefined;
  /** Who ended it; empty where nobody did. */
  readonly endedBy: string;
  readonly openChannels: number;
  /** True where its viewers can only look. */
  readonly viewOnly: boolean;
}

/** A channel as it is stored. */
export interface Channel {
  readonly channelId: bigint;
  readonly sessionId: string;
  /** The number of the SPICE channel type (1 = main); undefined until the viewer has said it. */
  readonly type: number | undefined;
  /** Which of its type. */
  readonly number: number | undefined;
  readonly controllerId: string;
  readonly clientAddress: string;
  readonly openedAt: Date;
  readonly closedAt: Date | undefined;
  readonly closeReason: ChannelEndReason | undefined;
  readonly bytesToMachine: bigint;
  readonly bytesToViewer: bigint;
}

/** A session with its channels: the open ones and the last closed ones, in order of their ids. */
export interface SessionWithChannels extends Session {
  readonly channels: readonly Channel[];
}

/** What a viewer is told when its channel is closed. */
export interface Closing {
  readonly reason: ChannelEndReason | ErrorReason;
  readonly code: number;
}
