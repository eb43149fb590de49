// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { Part } from "../../src/lib/lifecycle.js";
import { outputOf } from "./run-command.js";

/** Where roles are had: in a project by its name, in the one domain, or in the whole system. */
export type RolePlace = { readonly project: string } | "domain" | "system";

/** An answer of Keystone. */
interface Answer {
  readonly headers: Headers;
  readonly body: unknown;
}

const ANSWER_MS = 10_000;
const USUAL_TOKEN_SECONDS = 3_600;
const ADMIN = "admin";
/** All users have it. */
export const KEYSTONE_PASSWORD = "open-sesame";

/** The user that asks about tokens, as settings name it. */
export const KEYSTONE_SERVICE_USER = "spicegate";

/**
 * Debian's Keystone as a test's own on 127.0.0.1, over SQLite. Names of projects and users are what tests go by; all of
 * them are in the domain Default. After `program.kill` it can be started again, and knows what it knew.
 */
export class Keystone implements Part {
  readonly url: string;
  readonly program: ChildProgram;
  /** For what a test makes; goes with the stop. */
  readonly folder = createRunFolder();
  readonly #configFile: string;
  readonly #passwordFile: string;
  readonly #database = join(this.folder, "keystone.db");
  readonly #projects = new Map<string, string>();
  readonly #users = new Map<string, string>();
  readonly #roles = new Map<string, string>();
  #admin = "";

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`;
    this.#configFile = join(this.folder, "keystone.conf");
    this.#passwordFile = join(this.folder, "password");
    const home = join(this.folder, "home");
    mkdirSync(home);
    mkdirSync(join(this.folder, "keys"), { mode: 0o700 });
    writeFileSync(this.#passwordFile, `${KEYSTONE_PASSWORD}\n`);
    this.#configure(USUAL_TOKEN_SECONDS);
    this.program = new ChildProgram({
      name: "keystone",
      command: "keystone-wsgi-public",
      args: ["-b", "127.0.0.1", "-p", String(port), "--", "--config-file", this.#configFile],
      home,
      logFile: join(this.folder, "keystone.log"),
      ready: () =>
        fetch(`${this.url}/v3`).then(
          ({ ok }) => ok,
          () => false,
        ),
    });
  }

  static async create(): Promise<Keystone> {
    return new Keystone(await freePort());
  }

  /** Settings of the section "identity" by which a controller asks it. */
  get settings(): Readonly<Record<string, unknown>> {
    return {
      keystone_url: this.url,
      keystone_username: KEYSTONE_SERVICE_USER,
      keystone_password_file: this.#passwordFile,
    };
  }

  /** Makes its database, starts it, and gives the service user its role. Takes some eight seconds. */
  async start(): Promise<void> {
    const { uid, gid } = userInfo();
    await Promise.all([
      this.#manage("db_sync"),
      this.#manage("fernet_setup", "--keystone-user", String(uid), "--keystone-group", String(gid)),
    ]);
    // Else whoever reads would be in the way of whoever writes, in the same process.
    const sql = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('pragma journal_mode = wal')";
    await outputOf("python3", ["-c", sql, this.#database]);
    await this.#manage("bootstrap", "--bootstrap-password", KEYSTONE_PASSWORD);
    await this.program.start();
    await this.#readRoles();
    await this.grant(KEYSTONE_SERVICE_USER, "service", { project: "service" });
  }

  async stop(): Promise<void> {
    await this.program.stop();
    await removeRunFolder(this.folder);
  }

  /** Starts it anew; tokens that it gives out from then on live so long. */
  async restart(tokenSeconds = USUAL_TOKEN_SECONDS): Promise<void> {
    await this.program.stop();
    this.#configure(tokenSeconds);
    await this.program.start();
  }

  /** Gives a user a role; user, project and role are made where they are not there yet. */
  async grant(user: string, role: string, place: RolePlace): Promise<void> {
    const where = await this.#pathOf(place);
    await this.#asAdmin("PUT", `/${where}/users/${await this.userId(user)}/roles/${await this.#roleId(role)}`);
  }

  /** The id of a user, who is made where there is none. */
  userId(name: string): Promise<string> {
    return this.#made(this.#users, name, "user", { name, domain_id: "default", password: KEYSTONE_PASSWORD });
  }

  /** The id of a project, which is made where there is none. */
  projectId(name: string): Promise<string> {
    return this.#made(this.#projects, name, "project", { name, domain_id: "default" });
  }

  /** Puts a service into the list by which clients find it. */
  async offer(type: string, url: string): Promise<void> {
    const { body } = await this.#asAdmin("POST", "/services", { service: { type, name: type } });
    const { id } = (body as { service: { id: string } }).service;
    await this.#asAdmin("POST", "/endpoints", { endpoint: { service_id: id, interface: "public", url } });
  }

  /** A new token of a user, for its roles in one place; "unscoped": for none. */
  token(user: string, scope: RolePlace | "unscoped"): Promise<string> {
    const password = { user: { name: user, domain: { id: "default" }, password: KEYSTONE_PASSWORD } };
    return this.#login({ methods: ["password"], password }, scopeOf(scope));
  }

  /** A token of an application credential that may be used for one address of another service only. */
  async restrictedToken(user: string, project: string): Promise<string> {
    const token = await this.token(user, { project });
    const rule = { service: "image", method: "GET", path: "/v2/images" };
    const wish = { application_credential: { name: "narrow", access_rules: [rule] } };
    const { body } = await this.#send("POST", `/users/${await this.userId(user)}/application_credentials`, token, wish);
    const { id, secret } = (body as { application_credential: { id: string; secret: string } }).application_credential;
    const identity = { methods: ["application_credential"], application_credential: { id, secret } };
    return this.#login(identity, undefined);
  }

  /** Makes a token worthless. */
  async revoke(token: string): Promise<void> {
    await this.#send("DELETE", "/auth/tokens", await this.#adminToken(), undefined, { "x-subject-token": token });
  }

  /** Makes all tokens of a user worthless; returns when new ones are good. */
  async revokeAll(user: string): Promise<void> {
    const path = `/users/${await this.userId(user)}`;
    await this.#asAdmin("PATCH", path, { user: { enabled: false } });
    await this.#asAdmin("PATCH", path, { user: { enabled: true } });
    // Keystone counts in seconds: what it gives out in the same one is worthless too.
    const good = async (): Promise<boolean> => this.#isGood(await this.token(user, "unscoped"));
    await waitUntil(good, { ms: ANSWER_MS, what: `good tokens of ${user}` });
  }

  #isGood(token: string): Promise<boolean> {
    return this.#send("GET", "/auth/tokens", token, undefined, { "x-subject-token": token }).then(
      () => true,
      () => false,
    );
  }

  #configure(tokenSeconds: number): void {
    const keys = join(this.folder, "keys");
    const lines = [
      "[DEFAULT]",
      "use_stderr = true",
      "[database]",
      `connection = sqlite:///${this.#database}`,
      "[token]",
      `expiration = ${tokenSeconds}`,
      "[fernet_tokens]",
      `key_repository = ${keys}`,
      "[fernet_receipts]",
      `key_repository = ${keys}`,
      "[identity]",
      "password_hash_rounds = 4",
    ];
    writeFileSync(this.#configFile, `${lines.join("\n")}\n`);
  }

  async #pathOf(place: RolePlace): Promise<string> {
    if (place === "system") return "system";
    return place === "domain" ? "domains/default" : `projects/${await this.projectId(place.project)}`;
  }

  async #manage(...command: readonly string[]): Promise<void> {
    await outputOf("keystone-manage", ["--config-file", this.#configFile, ...command], { cwd: this.folder });
  }

  async #made(
    known: Map<string, string>,
    name: string,
    kind: "user" | "project" | "role",
    wish: object,
  ): Promise<string> {
    const id = known.get(name);
    if (id !== undefined) return id;
    const { body } = await this.#asAdmin("POST", `/${kind}s`, { [kind]: wish });
    const made = (body as Record<string, { id: string }>)[kind]?.id ?? "";
    known.set(name, made);
    return made;
  }

  #roleId(name: string): Promise<string> {
    return this.#made(this.#roles, name, "role", { name });
  }

  async #readRoles(): Promise<void> {
    const { body } = await this.#asAdmin("GET", "/roles");
    for (const { id, name } of (body as { roles: { id: string; name: string }[] }).roles) this.#roles.set(name, id);
  }

  async #adminToken(): Promise<string> {
    this.#admin ||= await this.token(ADMIN, { project: ADMIN });
    return this.#admin;
  }

  async #asAdmin(method: string, path: string, body?: object): Promise<Answer> {
    return this.#send(method, path, await this.#adminToken(), body);
  }

  async #login(identity: object, scope: object | undefined): Promise<string> {
    const wish = { auth: { identity, ...(scope ? { scope } : {}) } };
    const { headers } = await this.#send("POST", "/auth/tokens", undefined, wish);
    return headers.get("x-subject-token") ?? "";
  }

  async #send(
    method: string,
    path: string,
    token: string | undefined,
    body?: object,
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const headers = new Headers({ "content-type": "application/json", ...more });
    if (token !== undefined) headers.set("x-auth-token", token);
    const content = body ? { body: JSON.stringify(body) } : {};
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(`${this.url}/v3${path}`, { method, headers, signal, ...content });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path} of Keystone: ${response.status} ${text}`);
    return { headers: response.headers, body: text === "" ? undefined : (JSON.parse(text) as unknown) };
  }
}

function scopeOf(scope: RolePlace | "unscoped"): object {
  switch (scope) {
    case "unscoped":
      return { unscoped: {} };
    case "system":
      return { system: { all: true } };
    case "domain":
      return { domain: { id: "default" } };
    default:
      return { project: { name: scope.project, domain: { id: "default" } } };
  }
}
