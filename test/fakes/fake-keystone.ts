// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { KeystoneSettings } from "../../src/config/keystone-settings.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { until } from "../harness/within.js";

/** What a token stands for, laid over a member of one project for an hour. */
export type FakeToken = Readonly<Record<string, unknown>>;

/** Answers a request in a way of its own. */
export type Answering = (response: ServerResponse, request: IncomingMessage) => void;

const HOUR_MS = 3_600_000;
/** Tokens of its user are this and a number. */
export const OWN_TOKEN = "own-token-";

/** What Keystone says of a token. */
export function tokenBody(token: FakeToken = {}): string {
  const usual = {
    expires_at: new Date(Date.now() + HOUR_MS).toISOString(),
    user: { id: "user-1" },
    project: { id: "project-1" },
    roles: [{ name: "member" }],
  };
  return JSON.stringify({ token: { ...usual, ...token } });
}

/** A Keystone that does what the real one cannot be made to do: its tokens, and each of its answers, are a test's. */
export class FakeKeystone implements Part {
  /** Tokens of callers. */
  readonly tokens = new Map<string, FakeToken>();
  /** What came in: "login", or the token that was asked about. */
  readonly requests: string[] = [];
  /** In place of the usual answer to a login, and to a question. */
  onLogin: Answering | undefined;
  onQuestion: Answering | undefined;
  /** How long its user's tokens live. */
  ownMs = HOUR_MS;
  #server: Server;
  #own = 0;

  constructor(tls?: { readonly cert: string; readonly key: string }) {
    const answer = (request: IncomingMessage, response: ServerResponse): void => this.#answer(request, response);
    this.#server = tls ? createTlsServer(tls, answer) : createServer(answer);
  }

  start(): Promise<void> {
    return new Promise((resolve) => void this.#server.listen(0, "127.0.0.1", resolve));
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => void this.#server.close(() => resolve()));
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Settings that lead here. */
  settings(more: Partial<KeystoneSettings> = {}): KeystoneSettings {
    const url = `http://${this.address}`;
    const user = {
      username: "spicegate",
      password: "open-sesame",
      userDomain: "Default",
      project: "service",
      projectDomain: "Default",
    };
    const roles = { admin: "admin", member: "member", reader: "reader" } as const;
    return { url, publicUrl: url, ca: undefined, inTheClear: false, user, roles, cacheSeconds: 60, ...more };
  }

  /** How often something came in: "login", or a token. */
  count(what: string): number {
    return this.requests.filter((request) => request === what).length;
  }

  /** Waits until so many requests have come in. */
  saw(requests: number): Promise<void> {
    return until(`${requests} requests to Keystone`, () => this.requests.length >= requests);
  }

  /** Makes its user's token worthless. */
  forgetOwn(): void {
    this.#own += 1;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const token = String(request.headers["x-subject-token"]);
    const isLogin = request.method === "POST";
    this.requests.push(isLogin ? "login" : token);
    const special = isLogin ? this.onLogin : this.onQuestion;
    if (special) return special(response, request);
    if (isLogin) return this.#login(response);
    if (request.headers["x-auth-token"] !== `${OWN_TOKEN}${this.#own}`) return void response.writeHead(401).end();
    const found = this.tokens.get(token);
    response.writeHead(found ? 200 : 404).end(found ? tokenBody(found) : "{}");
  }

  #login(response: ServerResponse): void {
    const body = tokenBody({ expires_at: new Date(Date.now() + this.ownMs).toISOString() });
    response.writeHead(201, { "x-subject-token": `${OWN_TOKEN}${this.#own}` }).end(body);
  }
}
