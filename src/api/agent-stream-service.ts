// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import { AgentServiceService, ConnectRequest } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { decodeOrMalformed } from "../rpc/malformed-message.js";
import type { AgentCall, AgentStreamOptions } from "./agent-stream.js";
import { AgentStream } from "./agent-stream.js";

/** Adds the service that agents join to a server. */
export function addAgentStreamService(server: Server, options: AgentStreamOptions): void {
  // Responses are handed over encoded: the stream counts their bytes, and no message is encoded twice.
  const responseSerialize = (bytes: Buffer): Buffer => bytes;
  const requestDeserialize = decodeOrMalformed(decode);
  const connect = { ...AgentServiceService.connect, requestDeserialize, responseSerialize };
  server.addService({ connect }, { connect: (call: AgentCall) => new AgentStream(call, options).run() });
}

/** A message that holds nothing is none; one that holds only what a newer agent knows is, though it decodes to the same. */
function decode(bytes: Buffer): ConnectRequest {
  if (bytes.length === 0) throw new Error("it is empty");
  return ConnectRequest.decode(bytes);
}
