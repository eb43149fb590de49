// SPDX-License-Identifier: Apache-2.0
import { credentials } from "@grpc/grpc-js";
import { randomBytes } from "node:crypto";
import type { AuthorizedConsole, CheckTokenResponse } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { ConsoleAuthServiceClient } from "../../proto/gen/spicegate/consoleauth/v1/consoleauth.js";
import { hashOf } from "./deployment.js";
import type { CallResult } from "./grpc-client.js";
import { callUnary } from "./grpc-client.js";
import { responseOf } from "./inventory-calls.js";

/** The legacy store as another program uses it. Each method throws where the store refuses, except `check`. */
export class LegacyStoreClient {
  readonly #client: ConsoleAuthServiceClient;

  /** `address` is host:port of a controller or of `spicegate consoleauth`. */
  constructor(address: string) {
    this.#client = new ConsoleAuthServiceClient(address, credentials.createInsecure());
  }

  /** A token that only the store knows, as a Nova before Rocky issued it. */
  async issue(instanceUuid: string, more: Partial<AuthorizedConsole> = {}): Promise<string> {
    const token = randomBytes(32).toString("base64url");
    const console: AuthorizedConsole = {
      ...{ instanceUuid, consoleType: "spice-html5", host: "127.0.0.1", port: 5900, tlsPort: 0 },
      ...{ internalAccessPath: "", accessUrlBase: "http://nova/spice_auto.html", createdBy: "nova" },
      expiresAt: undefined,
      ...more,
    };
    const call = this.#client.authorizeConsole.bind(this.#client);
    responseOf(await callUnary(call, { tokenHash: hashOf(token), console }));
    return token;
  }

  /** What the store says of a token; undefined where it does not know it. */
  async find(token: string): Promise<AuthorizedConsole | undefined> {
    return responseOf(await this.check(hashOf(token))).console;
  }

  /** The store's answer to a hash, also where it refuses. */
  check(tokenHash: string): Promise<CallResult<CheckTokenResponse>> {
    return callUnary(this.#client.checkToken.bind(this.#client), { tokenHash, consume: false });
  }

  /** Takes an instance's tokens out of this store alone and says how many those were. */
  async forget(instanceUuid: string): Promise<number> {
    const call = this.#client.deleteTokensForInstance.bind(this.#client);
    return responseOf(await callUnary(call, { instanceUuid })).deleted;
  }

  close(): void {
    this.#client.close();
  }
}
