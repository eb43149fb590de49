// SPDX-License-Identifier: Apache-2.0
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { connectivityState } from "@grpc/grpc-js";
import type { ConnectResponse } from "../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceClient, AgentServiceService } from "../proto/gen/spicegate/agent/v1/agent.js";
import { KEEPALIVE_INTERVAL_MS, KEEPALIVE_TIMEOUT_MS, MAX_MESSAGE_BYTES } from "../src/lib/limits.js";
import { requireAddress } from "../src/lib/listen-address.js";
import type { TlsIdentity } from "../src/lib/tls-files.js";
import type { ControllerCredentials } from "./controller-credentials.js";

/** A Connect stream whose agent messages are encoded already. */
export type ControlCall = ClientDuplexStream<Buffer, ConnectResponse>;

/** A stream that is alone on its connection. */
export interface Dialled {
  readonly call: ControlCall;
  /** Ends stream and connection at once. To be called once. */
  readonly close: () => void;
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

/** What connections are made with. */
export type DialCredentials = Pick<ControllerCredentials, "identity" | "channelTo">;

/** A connection, and what it shows the controller. */
interface Client {
  readonly grpc: AgentServiceClient;
  readonly identity: TlsIdentity | undefined;
}

/**
 * Opens Connect streams to one controller, one after the other, each on a connection of its own. A controller that takes
 * connections and then says nothing, being frozen, would collect one per attempt, since grpc-js never gives up on such
 * a connection nor closes it: it is used again by the next attempt, unless it shows a certificate that was replaced.
 */
export class Dialler {
  readonly #address: string;
  readonly #credentials: DialCredentials;
  #kept: Client | undefined;

  constructor(address: string, credentials: DialCredentials) {
    this.#address = address;
    this.#credentials = credentials;
  }

  /** Opens a stream. It fails through the stream's status, never by throwing. */
  dial(): Dialled {
    const client = this.#takeClient();
    const { path, responseDeserialize } = AgentServiceService.connect;
    const call = client.grpc.makeBidiStreamRequest(path, (message: Buffer) => message, responseDeserialize);
    return {
      call,
      close: () => {
        call.cancel();
        if (stateOf(client) === connectivityState.CONNECTING) this.#kept = client;
        else client.grpc.close();
      },
    };
  }

  /** Lets go of a connection kept for the next attempt. A second call does nothing. */
  close(): void {
    this.#kept?.grpc.close();
    this.#kept = undefined;
  }

  #takeClient(): Client {
    const kept = this.#kept;
    this.#kept = undefined;
    const { identity } = this.#credentials;
    if (kept && kept.identity === identity && KEPT_STATES.has(stateOf(kept))) return kept;
    kept?.grpc.close();
    const channel = this.#credentials.channelTo(requireAddress(this.#address));
    return { grpc: new AgentServiceClient(this.#address, channel, OPTIONS), identity };
  }
}

const KEPT_STATES = new Set([connectivityState.CONNECTING, connectivityState.READY]);

function stateOf({ grpc }: Client): connectivityState {
  return grpc.getChannel().getConnectivityState(false);
}
