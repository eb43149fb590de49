// SPDX-License-Identifier: Apache-2.0
import type { ClientUnaryCall, ServiceError as GrpcError } from "@grpc/grpc-js";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import type {
  CheckTokenResponse,
  DeleteTokensForInstanceResponse,
} from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { ConsoleAuthServiceClient } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { withDeadline } from "../lib/deadline.js";
import type { Part } from "../lib/lifecycle.js";
import {
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  LEGACY_CALL_MS,
  LEGACY_RECONNECT_BACKOFF,
  MAX_MESSAGE_BYTES,
} from "../lib/limits.js";
import { storeUnavailable } from "./authorization-store.js";
import type { AuthorizedConsole, ConsoleAuth } from "./console-auth.js";
import { consoleFromMessage, messageFromConsole } from "./console-messages.js";

const OPTIONS = {
  "grpc.keepalive_time_ms": KEEPALIVE_INTERVAL_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.initial_reconnect_backoff_ms": LEGACY_RECONNECT_BACKOFF.firstMs,
  "grpc.min_reconnect_backoff_ms": LEGACY_RECONNECT_BACKOFF.firstMs,
  "grpc.max_reconnect_backoff_ms": LEGACY_RECONNECT_BACKOFF.mostMs,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // A proxy of the environment is not meant for this machine's own addresses.
  "grpc.enable_http_proxy": 0,
  // Statistics of every call for a debugging service that is not offered here.
  "grpc.enable_channelz": 0,
};

/** Makes a call whose outcome goes to `done`. */
type Send<Response> = (done: (error: GrpcError | null, response: Response) => void) => ClientUnaryCall;

/**
 * Console authorizations kept by another process, `spicegate consoleauth` or a controller. In plaintext, since it is on
 * this machine. Whatever a call fails with, a refusal too, is LEGACY_STORE_UNAVAILABLE here; its cause says the rest.
 */
export class RemoteConsoleAuth implements ConsoleAuth, Part {
  readonly #client: ConsoleAuthServiceClient;
  readonly #metadata = new Metadata();

  /** `address` is host:port on loopback, `token` one of a user with role service. It connects when it is asked something. */
  constructor(address: string, token: string | undefined) {
    this.#client = new ConsoleAuthServiceClient(address, credentials.createInsecure(), OPTIONS);
    if (token !== undefined) this.#metadata.set("authorization", `Bearer ${token}`);
  }

  /** Nothing to start: see the constructor. */
  start(): void {}

  /** Closes the connection. Twice is harmless. */
  stop(): void {
    this.#client.close();
  }

  async authorize(tokenHash: string, console: AuthorizedConsole): Promise<void> {
    const request = { tokenHash, console: messageFromConsole(console) };
    await answerTo<unknown>((done) => this.#client.authorizeConsole(request, this.#metadata.clone(), done));
  }

  async check(tokenHash: string, { consume }: { readonly consume: boolean }): Promise<AuthorizedConsole | undefined> {
    const { console } = await answerTo<CheckTokenResponse>((done) =>
      this.#client.checkToken({ tokenHash, consume }, this.#metadata.clone(), done),
    );
    return console && readable(() => consoleFromMessage(console));
  }

  async deleteForInstance(instanceUuid: string): Promise<number> {
    const { deleted } = await answerTo<DeleteTokensForInstanceResponse>((done) =>
      this.#client.deleteTokensForInstance({ instanceUuid }, this.#metadata.clone(), done),
    );
    return deleted;
  }
}

function answerTo<Response>(send: Send<Response>): Promise<Response> {
  const expired = (): Error => storeUnavailable(new Error(`no answer within ${LEGACY_CALL_MS} ms`));
  return withDeadline({ ms: LEGACY_CALL_MS, expired }, (signal) => {
    return new Promise<Response>((resolve, reject) => {
      const running = send((error, response) => {
        if (error) reject(storeUnavailable(withAdvice(error)));
        else resolve(response);
      });
      signal.addEventListener("abort", () => running.cancel(), { once: true });
    });
  });
}

function withAdvice(error: GrpcError): Error {
  if (error.code !== status.UNAUTHENTICATED && error.code !== status.PERMISSION_DENIED) return error;
  const advice = "put a user token of role service into the file that consoleauth.token_file names";
  return new Error(`${error.message}: ${advice}`, { cause: error });
}

/** What the other side should not have sent is its trouble, not the caller's. */
function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw storeUnavailable(error);
  }
}
