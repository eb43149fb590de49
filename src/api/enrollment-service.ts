// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type { EnrollmentServiceServer } from "../../proto/gen/spicegate/agent/v1/enrollment.js";
import { EnrollmentServiceService } from "../../proto/gen/spicegate/agent/v1/enrollment.js";
import type { Certificate } from "../../proto/gen/spicegate/agent/v1/enrollment.js";
import type { EnrollHosts, IssuedCertificate } from "../console/enroll-hosts.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";

/** Adds spicegate.agent.v1.EnrollmentService to a server. Anybody may ask: the request proves who does. */
export function addEnrollmentService(
  server: Server,
  handlers: UnaryHandlers,
  hosts: Pick<EnrollHosts, "enroll" | "renew">,
): void {
  const implementation: EnrollmentServiceServer = {
    enroll: handlers.handle(EnrollmentServiceService.enroll, async (request, context) => {
      const issued = await hosts.enroll(request, context);
      return { host: issued.host, certificate: messageFrom(issued) };
    }),
    renew: handlers.handle(EnrollmentServiceService.renew, async (request, context) => ({
      certificate: messageFrom(await hosts.renew(request, context)),
    })),
  };
  server.addService(withMalformedMessages(EnrollmentServiceService), implementation);
}

function messageFrom({ certificate: certificateChain, authorities, expiresAt }: IssuedCertificate): Certificate {
  return { certificateChain, authorities, expiresAt };
}
