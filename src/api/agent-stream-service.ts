// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import { AgentServiceService, ConnectRequest } from "../../proto/gen/spicegate/agent/v1/agent.js";
import { parseAddress } from "../lib/listen-address.js";
import type { Limit } from "../rpc/limit.js";
import type { MalformedMessage } from "../rpc/malformed-message.js";
import { decodeOrMalformed } from "../rpc/malformed-message.js";
import { serviceErrorFrom } from "../rpc/service-error-from.js";
import { statusFromError } from "../rpc/status-from-error.js";
import { AgentPace } from "./agent-pace.js";
import type { AgentCall, AgentStreamOptions } from "./agent-stream.js";
import { AgentStream } from "./agent-stream.js";

/** What the service needs. */
export interface AgentStreamServiceOptions extends AgentStreamOptions {
  /** How often agents may connect from one address. */
  readonly connections: Pick<Limit, "take">;
  /** The setting limits.agent_messages. */
  readonly messagesPerSecond: number;
}

/** Adds the service that agents join to a server. */
export function addAgentStreamService(server: Server, options: AgentStreamServiceOptions): void {
  // Responses are handed over encoded: the stream counts their bytes, and no message is encoded twice.
  const responseSerialize = (bytes: Buffer): Buffer => bytes;
  const sizes: MessageSizes = new WeakMap();
  const decodeOne = decodeOrMalformed(decode);
  const requestDeserialize = (bytes: Buffer): Message => {
    const message = decodeOne(bytes);
    sizes.set(message, bytes.length);
    return message;
  };
  const connect = { ...AgentServiceService.connect, requestDeserialize, responseSerialize };
  server.addService({ connect }, { connect: (call: AgentCall) => serve(call, sizes, options) });
}

type Message = ConnectRequest | MalformedMessage;
/** Bytes of messages as they came. */
type MessageSizes = WeakMap<Message, number>;

function serve(call: AgentCall, sizes: MessageSizes, options: AgentStreamServiceOptions): void {
  try {
    options.connections.take({ clientAddress: parseAddress(call.getPeer())?.host ?? "", requestId: "" });
  } catch (error) {
    return void call.emit("error", statusFromError(serviceErrorFrom(error)));
  }
  const pace = new AgentPace({ ...options, call });
  call.on("data", (message: Message) => pace.received(sizes.get(message) ?? 0));
  call.on("cancelled", () => pace.stop());
  call.on("close", () => pace.stop());
  new AgentStream(call, options).run();
}

/** A message that holds nothing is none; one that holds only what a newer agent knows is, though it decodes to the same. */
function decode(bytes: Buffer): ConnectRequest {
  if (bytes.length === 0) throw new Error("it is empty");
  return ConnectRequest.decode(bytes);
}
