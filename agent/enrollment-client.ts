// SPDX-License-Identifier: Apache-2.0
import type { ServiceError as GrpcError } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { createSecureContext } from "node:tls";
import type {
  EnrollRequest,
  EnrollResponse,
  RenewRequest,
  RenewResponse,
} from "../proto/gen/spicegate/agent/v1/enrollment.js";
import { EnrollmentServiceClient } from "../proto/gen/spicegate/agent/v1/enrollment.js";
import { ENROLL_MS, MAX_MESSAGE_BYTES } from "../src/lib/limits.js";
import type { Address } from "../src/lib/listen-address.js";
import { formatAddress } from "../src/lib/listen-address.js";
import { MutualTls } from "./mutual-tls.js";

const OPTIONS = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  // One call is one attempt on a connection of its own.
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  // A proxy of the environment is not meant for these addresses.
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
};

/** One controller's API, known by authorities (PEM) and by the name or address that is dialled. Errors are the status. */
export class EnrollmentClient {
  readonly #client: EnrollmentServiceClient;

  constructor(address: Address, authorities: string) {
    const secureContext = createSecureContext({ ca: authorities, minVersion: "TLSv1.2" });
    const channel = new MutualTls({ host: address.host, secureContext });
    this.#client = new EnrollmentServiceClient(formatAddress(address), channel, OPTIONS);
  }

  /** Turns a join token into a certificate. */
  enroll(request: EnrollRequest): Promise<EnrollResponse> {
    return answerTo((options, done) => this.#client.enroll(request, new Metadata(), options, done));
  }

  /** Turns a certificate into the next one. */
  renew(request: RenewRequest): Promise<RenewResponse> {
    return answerTo((options, done) => this.#client.renew(request, new Metadata(), options, done));
  }

  /** Twice is harmless. */
  close(): void {
    this.#client.close();
  }
}

/** Makes a call whose outcome goes to `done`. */
type Send<Response> = (
  options: { deadline: number },
  done: (error: GrpcError | null, response: Response) => void,
) => unknown;

function answerTo<Response>(send: Send<Response>): Promise<Response> {
  return new Promise((resolve, reject) => {
    send({ deadline: Date.now() + ENROLL_MS }, (error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}
