// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type {
  HostIdentity as HostIdentityMessage,
  IdentityServiceServer,
  RevokeUserTokensRequest,
  UserToken as UserTokenMessage,
} from "../../proto/gen/spicegate/identity/v1/identity.js";
import { IdentityServiceService } from "../../proto/gen/spicegate/identity/v1/identity.js";
import type { ManageHosts } from "../console/manage-hosts.js";
import type { ManageUsers } from "../console/manage-users.js";
import type { HostIdentity } from "../identity/host-certificate-store.js";
import type { UserTokenTarget } from "../identity/user-token-store.js";
import type { UserToken } from "../identity/user-token.js";
import { invalid } from "../lib/validate.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";
import { pageFrom } from "./page-messages.js";

/** What the service needs. */
export interface IdentityServiceOptions {
  readonly handlers: UnaryHandlers;
  readonly users: ManageUsers;
  readonly hosts: ManageHosts;
}

/** Adds spicegate.identity.v1.IdentityService to a server: decode, call one use case, encode. */
export function addIdentityService(server: Server, { handlers, users, hosts }: IdentityServiceOptions): void {
  const implementation: IdentityServiceServer = {
    getCaller: handlers.handle(IdentityServiceService.getCaller, (_request, context) => {
      const { subject, project, roles, expiresAt } = users.getCaller(context);
      return Promise.resolve({ subject, projectId: project, roles: [...roles], expiresAt });
    }),
    createUserToken: handlers.handle(IdentityServiceService.createUserToken, async (request, context) => {
      const { token, userToken } = await users.createUserToken(request, context);
      return { token, userToken: messageFromUserToken(userToken) };
    }),
    listUserTokens: handlers.handle(IdentityServiceService.listUserTokens, async (request) => {
      const { items, nextPageToken } = await users.listUserTokens(request.subject, pageFrom(request));
      return { userTokens: items.map(messageFromUserToken), nextPageToken };
    }),
    revokeUserTokens: handlers.handle(IdentityServiceService.revokeUserTokens, async (request, context) => ({
      revokedCount: await users.revokeUserTokens(targetFrom(request), context),
    })),
    createJoinToken: handlers.handle(IdentityServiceService.createJoinToken, (request, context) =>
      hosts.createJoinToken(request, context),
    ),
    listHostIdentities: handlers.handle(IdentityServiceService.listHostIdentities, async (request) => {
      const { items, nextPageToken } = await hosts.listHostIdentities(pageFrom(request));
      return { hostIdentities: items.map(messageFromHostIdentity), nextPageToken };
    }),
    revokeHost: handlers.handle(IdentityServiceService.revokeHost, async (request, context) => ({
      hostIdentity: messageFromHostIdentity(await hosts.revokeHost(request, context)),
    })),
  };
  server.addService(withMalformedMessages(IdentityServiceService), implementation);
}

function targetFrom({ target }: RevokeUserTokensRequest): UserTokenTarget {
  if (target === undefined) throw invalid("target", "must be a token_id or a subject");
  return target.$case === "tokenId" ? { tokenId: target.tokenId } : { subject: target.subject };
}

function messageFromUserToken(token: UserToken): UserTokenMessage {
  return { ...token, roles: [...token.roles] };
}

function messageFromHostIdentity(identity: HostIdentity): HostIdentityMessage {
  return { ...identity };
}
