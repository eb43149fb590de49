// SPDX-License-Identifier: Apache-2.0
import type { KeystoneSettings } from "../config/keystone-settings.js";
import { MAX_KEYSTONE_ANSWER_BYTES } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { KeystoneToken } from "./keystone-messages.js";
import { loginBody, tokenFrom } from "./keystone-messages.js";
import type { WebAnswer, WebRequest } from "./web-request.js";
import { askWeb } from "./web-request.js";

/** A token of our own, by which Keystone knows us. */
export interface OwnToken {
  readonly text: string;
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
}

/** What Keystone says of a token: what it stands for; that it is good for nothing; or that our own is not taken. */
export type Verdict = KeystoneToken | "unknown" | "own-token-refused";

/** Keystone refuses our own user: its name, password or role is wrong. */
export class LoginRefused extends Error {
  override readonly name = "LoginRefused";
}

/** The error of every way in which Keystone tells nothing; its cause says which, for the log. */
export function unavailable(cause: unknown): ServiceError {
  return new ServiceError("IDENTITY_UNAVAILABLE", "Keystone cannot be asked who you are; try again", { cause });
}

/** The two requests that Keystone gets from us. Both throw an Error without secrets where they are not answered as they should be. */
export class KeystoneApi {
  readonly #settings: Pick<KeystoneSettings, "url" | "ca" | "user">;

  constructor(settings: Pick<KeystoneSettings, "url" | "ca" | "user">) {
    this.#settings = settings;
  }

  /** A new token of our own. Throws LoginRefused where our user is not taken. */
  async login(signal: AbortSignal): Promise<OwnToken> {
    const headers = { "content-type": "application/json" };
    const answer = await this.#ask({ method: "POST", headers, body: loginBody(this.#settings.user), signal });
    const text = answer.headers["x-subject-token"];
    if (answer.status === 201 && typeof text === "string") return { text, expiresAt: tokenFrom(answer.body).expiresAt };
    const user = "the user of identity.keystone_username";
    if (answer.status === 401) throw new LoginRefused(`Keystone does not let in ${user}: see its password and project`);
    throw unexpected(answer);
  }

  /** What a token stands for, asked with one of our own. */
  async show(own: string, token: string, signal: AbortSignal): Promise<Verdict> {
    const headers = { "x-auth-token": own, "x-subject-token": token };
    const answer = await this.#ask({ method: "GET", headers, signal });
    if (answer.status === 200) return tokenFrom(answer.body);
    if (answer.status === 404) return "unknown";
    if (answer.status === 401) return "own-token-refused";
    if (answer.status !== 403) throw unexpected(answer);
    throw new Error(
      "Keystone does not let the user of identity.keystone_username ask about tokens: give it the role service",
    );
  }

  #ask(asked: Pick<WebRequest, "method" | "headers" | "body" | "signal">): Promise<WebAnswer> {
    const { url, ca } = this.#settings;
    // Its list of services can be long, and we want none of them.
    return askWeb({ ...asked, url: `${url}/v3/auth/tokens?nocatalog`, ca, maxBytes: MAX_KEYSTONE_ANSWER_BYTES });
  }
}

function unexpected({ status }: WebAnswer): Error {
  return new Error(`Keystone answers ${status}`);
}
