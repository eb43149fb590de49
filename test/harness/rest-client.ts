// SPDX-License-Identifier: Apache-2.0
// Nova's API as a program would use it that knows nothing of ours.

/** How a request is made. */
export interface RestOptions {
  /** The microversion, "2.8" or "latest"; without one no header is sent. */
  readonly version?: string;
  /** What X-Auth-Token says; null: the header is missing. */
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  /** The body as it is sent, in place of JSON of the body given. */
  readonly rawBody?: string;
  readonly method?: string;
  readonly signal?: AbortSignal;
}

/** An answer. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed JSON; undefined where there is none. */
  readonly body: unknown;
  readonly text: string;
}

/** A refusal in Nova's shape. */
export interface Fault {
  /** "itemNotFound" and the like. */
  readonly name: string;
  readonly code: number;
  readonly message: string;
}

/** A client of one address, below which paths are given: "/v2.1/servers". It never throws for a status. */
export class RestClient {
  readonly #base: string;
  readonly #onAnswer: (answer: RestAnswer) => void;

  /** `address` is host:port; `onAnswer` sees every answer. */
  constructor(address: string, onAnswer: (answer: RestAnswer) => void = () => undefined) {
    this.#base = `http://${address}`;
    this.#onAnswer = onAnswer;
  }

  get(path: string, options: RestOptions = {}): Promise<RestAnswer> {
    return this.#send(path, { method: "GET", ...options });
  }

  post(path: string, body: unknown, options: RestOptions = {}): Promise<RestAnswer> {
    const headers = { "content-type": "application/json", ...options.headers };
    return this.#send(path, { method: "POST", rawBody: JSON.stringify(body), ...options, headers });
  }

  /** Asks for a console the modern way. */
  remoteConsole(
    server: string,
    { protocol = "spice", type = "spice-html5", version = "2.8" } = {},
  ): Promise<RestAnswer> {
    return this.post(`/v2.1/servers/${server}/remote-consoles`, { remote_console: { protocol, type } }, { version });
  }

  /** Asks for a console by the action of the first versions. */
  legacyConsole(server: string, { type = "spice-html5", version = "2.1" } = {}): Promise<RestAnswer> {
    return this.post(`/v2.1/servers/${server}/action`, { "os-getSPICEConsole": { type } }, { version });
  }

  /** What a token stands for. */
  lookup(token: string, { version = "2.31", query = "" } = {}): Promise<RestAnswer> {
    return this.get(`/v2.1/os-console-auth-tokens/${token}${query}`, { version });
  }

  async #send(path: string, { version, token = "demo", rawBody, ...options }: RestOptions): Promise<RestAnswer> {
    const { method = "GET", signal } = options;
    const headers = new Headers(options.headers);
    if (token !== null) headers.set("x-auth-token", token);
    if (version !== undefined) headers.set("openstack-api-version", `compute ${version}`);
    const init = {
      method,
      headers,
      ...(rawBody === undefined ? {} : { body: rawBody }),
      ...(signal ? { signal } : {}),
    };
    const response = await fetch(`${this.#base}${path}`, { ...init, redirect: "manual" });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, body: jsonOf(text), text };
    this.#onAnswer(answer);
    return answer;
  }
}

/** The fault of an answer; throws where it is none, or where its code is not the answer's status. */
export function faultOf({ status, body }: RestAnswer): Fault {
  const [[name, fault] = ["", undefined], ...others] = Object.entries((body ?? {}) as Record<string, Partial<Fault>>);
  const { code, message } = fault ?? {};
  if (others.length > 0 || code !== status || message === undefined || message === "") {
    throw new Error(`not a fault with status ${status}: ${JSON.stringify(body)}`);
  }
  return { name, code, message };
}

/** The URL of an issued console, whichever way it was asked for; throws where none was issued. */
export function consoleUrlOf({ status, body, text }: RestAnswer): string {
  const { remote_console: modern, console: legacy } = (body ?? {}) as Record<string, { readonly url?: string }>;
  const url = (modern ?? legacy)?.url;
  if (status !== 200 || url === undefined) throw new Error(`no console, but ${status}: ${text}`);
  return url;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
