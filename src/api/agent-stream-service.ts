// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import { AgentServiceService } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { AgentCall, AgentStreamOptions } from "./agent-stream.js";
import { AgentStream } from "./agent-stream.js";

/** Adds the service that agents join to a server. */
export function addAgentStreamService(server: Server, options: AgentStreamOptions): void {
  // Responses are handed over encoded: the stream counts their bytes, and no message is encoded twice.
  const connect = { ...AgentServiceService.connect, responseSerialize: (bytes: Buffer) => bytes };
  server.addService({ connect }, { connect: (call: AgentCall) => new AgentStream(call, options).run() });
}
