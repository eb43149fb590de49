// SPDX-License-Identifier: Apache-2.0
import type { ClientReadableStream } from "@grpc/grpc-js";
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { waitUntil } from "../../demo/wait-until.js";

interface HealthResponse {
  readonly status: string;
}

/** Watches one service of grpc.health.v1, as a load balancer does. */
export class HealthWatch {
  readonly #client: Client;
  readonly #stream: ClientReadableStream<HealthResponse>;
  /** What it was told so far, oldest first. */
  readonly seen: string[] = [];

  constructor(address: string, name = "") {
    const { path, requestSerialize, responseDeserialize } = service["Watch"]!;
    this.#client = new Client(address, credentials.createInsecure());
    this.#stream = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => HealthResponse,
      { service: name },
      // Also where the server does not listen yet.
      new Metadata({ waitForReady: true }),
    );
    this.#stream.on("data", ({ status }: HealthResponse) => this.seen.push(status));
    this.#stream.on("error", () => undefined);
  }

  /** Waits until this is the last it was told. */
  async says(status: string, ms = 15_000): Promise<void> {
    await waitUntil(() => this.seen.at(-1) === status, { ms, what: `health ${status}, heard ${this.seen.join()}` });
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }
}

/** One answer of grpc.health.v1: a status, or the error's code. */
export function checkHealth(address: string, name: string): Promise<string | number> {
  const { path, requestSerialize, responseDeserialize } = service["Check"]!;
  const client = new Client(address, credentials.createInsecure());
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => HealthResponse,
      { service: name },
      (error, response) => {
        client.close();
        resolve(error ? error.code : (response?.status ?? ""));
      },
    );
  });
}
