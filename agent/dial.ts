// SPDX-License-Identifier: Apache-2.0
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { credentials } from "@grpc/grpc-js";
import type { ConnectResponse } from "../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceClient, AgentServiceService } from "../proto/gen/spicegate/agent/v1/agent.js";
import { KEEPALIVE_INTERVAL_MS, KEEPALIVE_TIMEOUT_MS, MAX_MESSAGE_BYTES } from "../src/lib/limits.js";

/** A Connect stream whose agent messages are encoded already. */
export type ControlCall = ClientDuplexStream<Buffer, ConnectResponse>;

/** A stream together with the connection it is alone on. */
export interface Dialled {
  readonly call: ControlCall;
  /** Ends stream and connection at once. A second call does nothing. */
  close(): void;
}

const OPTIONS = {
  "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
  // One call is one attempt on a connection of its own: when to try again is for the agent to decide.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // Without this grpc-js takes up to 1 MiB more than the connection does and says it was sent.
  "grpc.per_rpc_retry_buffer_size": 0,
  // A proxy of the environment is not meant for this machine's own addresses.
  "grpc.enable_http_proxy": 0,
  // Statistics of every call for a debugging service that is not offered here.
  "grpc.enable_channelz": 0,
};

/** Opens a Connect stream to a controller. It fails through the stream's status, never by throwing. */
export function dialController(address: string): Dialled {
  const client = new AgentServiceClient(address, credentials.createInsecure(), OPTIONS);
  const { path, responseDeserialize } = AgentServiceService.connect;
  const call = client.makeBidiStreamRequest(path, (message: Buffer) => message, responseDeserialize);
  return {
    call,
    close() {
      call.cancel();
      client.close();
    },
  };
}
