// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { SessionServiceServer } from "../../proto/gen/spicegate/session/v1/session.js";
import type { WatchSessionsRequest, WatchSessionsResponse } from "../../proto/gen/spicegate/session/v1/session.js";
import { SessionServiceService } from "../../proto/gen/spicegate/session/v1/session.js";
import type { ManageSessions } from "../console/manage-sessions.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { StreamHandlers } from "../rpc/stream-handler.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";
import { pageFrom } from "./page-messages.js";
import {
  instanceFilterFrom,
  messageFromSession,
  messageFromSessionWithChannels,
  messageFromWatchStep,
  sessionFiltersFrom,
  sessionIdFrom,
} from "./session-messages.js";

/** What the service needs. */
export interface SessionServiceOptions {
  readonly handlers: UnaryHandlers;
  readonly streams: StreamHandlers;
  readonly sessions: ManageSessions;
}

/** Adds spicegate.session.v1.SessionService to a server: decode, call one use case, encode. */
export function addSessionService(server: Server, { handlers, streams, sessions }: SessionServiceOptions): void {
  const implementation: SessionServiceServer = {
    listSessions: handlers.handle(SessionServiceService.listSessions, async (request, context) => {
      const page = await sessions.list(sessionFiltersFrom(request), pageFrom(request), context);
      return { sessions: page.items.map((session) => messageFromSession(session)), nextPageToken: page.nextPageToken };
    }),
    getSession: handlers.handle(SessionServiceService.getSession, async ({ sessionId }, context) => ({
      session: messageFromSessionWithChannels(await sessions.get(sessionIdFrom(sessionId), context)),
    })),
    watchSessions: streams.handle(SessionServiceService.watchSessions, (request, context) =>
      watch(sessions, request, context),
    ),
    terminateSession: handlers.handle(SessionServiceService.terminateSession, async ({ sessionId }, context) => ({
      session: messageFromSessionWithChannels(await sessions.terminate(sessionIdFrom(sessionId), context)),
    })),
  };
  server.addService(withMalformedMessages(SessionServiceService), implementation);
}

async function* watch(
  sessions: ManageSessions,
  { instanceUuid }: WatchSessionsRequest,
  context: RequestContext,
): AsyncGenerator<WatchSessionsResponse, void> {
  let revision = 0n;
  for await (const step of sessions.watch(instanceFilterFrom(instanceUuid), context)) {
    revision += 1n;
    yield messageFromWatchStep(step, revision);
  }
}
