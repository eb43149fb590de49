// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { AuthorityFileNames } from "../lib/authority-files.js";
import { readAuthorityFiles } from "../lib/authority-files.js";
import { MAX_HOST_LENGTH } from "../lib/limits.js";
import { loopbackAddress, staysOnLoopback } from "../lib/listen-address.js";
import { LOG_LEVELS } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import { tlsFileProblems } from "../lib/tls-settings.js";
import { consoleSchema } from "./console-settings.js";
import { authorityFiles, enrollmentSchema } from "./enrollment-settings.js";
import { identitySchema } from "./identity-settings.js";
import type { KeystoneSettings } from "./keystone-settings.js";
import { readKeystoneSettings } from "./keystone-settings.js";
import { limitsSchema } from "./limit-settings.js";
import { agentsSchema, apiSchema, gatewaySchema, proxySchema, telemetrySchema } from "./listener-settings.js";
import type { ConfigSource } from "./load-config.js";
import { ConfigError, loadConfig } from "./load-config.js";
import { readPolicy } from "./policy-table.js";
import { sessionsSchema } from "./session-settings.js";
import { readAuthorities, readSecret } from "./setting-files.js";
import { dataPath, isPrivateDatabaseUrl, memcachedAddress, plainUrl, subject } from "./setting-forms.js";

/** Every setting of the controller; long sections have files of their own. Sections and names are Nova's where Nova has the option. */
export const controllerSchema = z.strictObject({
  api: apiSchema.prefault({}),
  agents: agentsSchema.prefault({}),
  gateway: gatewaySchema.prefault({}),
  proxy: proxySchema.prefault({}),
  console: consoleSchema.prefault({}),
  sessions: sessionsSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  displays: z
    .strictObject({
      data_path: dataPath()
        .default("agent")
        .describe(
          "How displays are reached: agent (the host's agent opens them and brings them here) or direct (dialled at the agent's spice.server_proxyclient_address, as Nova does).",
        ),
      hosts: z
        .record(
          z.string().min(1).max(MAX_HOST_LENGTH),
          z.strictObject({ data_path: dataPath().optional(), subject: subject().optional() }),
        )
        .default({})
        .describe(
          "What differs for single hosts, by name: data_path, and subject (C=XX,O=Example,CN=host-1), which the certificate of their displays has instead of the address.",
        ),
      require_tls: z
        .boolean()
        .default(false)
        .describe(
          "Whether direct dials TLS ports only; otherwise only where a display has no plain one, as Nova does.",
        ),
      ca_file: z
        .string()
        .optional()
        .describe(
          "PEM certificates of the authorities that direct trusts, read at the start; unset = the public ones.",
        ),
    })
    .prefault({}),
  telemetry: telemetrySchema.prefault({}),
  database: z
    .strictObject({
      url: z
        .string()
        .default("postgres://spicegate@127.0.0.1:5432/spicegate")
        .refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text), "must be a postgres:// URL")
        .refine(
          isPrivateDatabaseUrl,
          "must name a database on loopback, or say how it is reached: ?sslmode=verify-full (or ?sslmode=disable, in the clear)",
        )
        .describe("The Postgres database. Keep the password out of it: see password_file.")
        .meta({ secret: true }),
      password_file: z.string().optional().describe("A file that holds the database password and nothing else."),
    })
    .prefault({}),
  spice: z
    .strictObject({
      html5proxy_base_url: plainUrl()
        .optional()
        .describe(
          "What console URLs begin with: the address of proxy.listen as browsers see it, and /console; unset = http://127.0.0.1:6082/console, https with proxy.cert, /spice_auto.html with console.compat_tokens.",
        ),
      spice_direct_proxy_base_url: plainUrl()
        .default("http://127.0.0.1:13002/nova")
        .describe("What the URLs of spice-direct consoles begin with: the address of a native SPICE proxy."),
    })
    .prefault({}),
  consoleauth: z
    .strictObject({
      token_ttl: z
        .int()
        .min(10)
        .max(86_400)
        .default(600)
        .describe("How long a console URL can be opened, in seconds; 10 to 86,400."),
      enforce_session_timeout: z
        .boolean()
        .default(false)
        .describe("Whether a session ends when the URL it came from would have expired."),
      address: loopbackAddress()
        .optional()
        .describe(
          "Where `spicegate consoleauth` answers, for workarounds.enable_consoleauth; unset = this controller keeps those tokens itself.",
        ),
      listen: loopbackAddress().default("127.0.0.1:50054").describe("Where `spicegate consoleauth` listens."),
      token_file: z
        .string()
        .optional()
        .describe(
          "A file that holds a user token of role service and nothing else, for consoleauth.address and `spicegate upgrade-check`; read at the start; unset = they show none.",
        ),
      telemetry_listen: loopbackAddress()
        .default("127.0.0.1:9466")
        .describe("Where `spicegate consoleauth` serves its /metrics, /healthz and /readyz over HTTP."),
    })
    .prefault({}),
  workarounds: z
    .strictObject({
      enable_consoleauth: z
        .boolean()
        .default(false)
        .describe("Whether tokens are kept in, and taken from, the legacy store too, while a deployment moves over."),
    })
    .prefault({}),
  cache: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .describe("Whether the legacy store is memcached; otherwise one process keeps it in its memory."),
      memcache_servers: z
        .array(memcachedAddress())
        .min(1)
        .default(["127.0.0.1:11211"])
        .describe("The memcached servers of the legacy store."),
    })
    .prefault({}),
  identity: identitySchema.prefault({}),
  enrollment: enrollmentSchema.prefault({}),
  policy: z
    .strictObject({
      file: z
        .string()
        .min(1)
        .optional()
        .describe(
          "YAML file that says which roles have which verbs, read again when it changes; what it leaves out nobody may do; unset = the table of policy.sample.yaml.",
        ),
    })
    .prefault({}),
  inventory: z
    .strictObject({
      trust_domain_metadata: z
        .boolean()
        .optional()
        .describe(
          "Whether name, project and user of an unregistered instance are taken from its libvirt metadata, and so from its host; unset = where agents.listen is on loopback, since every host is this machine then.",
        ),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(LOG_LEVELS)
        .default("info")
        .describe(`How much is logged: ${LOG_LEVELS.join(", ")}.`),
    })
    .prefault({}),
});

/** The checked configuration; `consoleauth.token`, `database.password`, `displays.ca` and `identity.keystone` come from files. */
export type ControllerConfig = Omit<
  Settings,
  "consoleauth" | "database" | "displays" | "spice" | "inventory" | "identity"
> & {
  readonly consoleauth: Settings["consoleauth"] & { readonly token: string | undefined };
  readonly database: { readonly url: string; readonly password: string | undefined };
  readonly displays: Omit<Settings["displays"], "ca_file"> & { readonly ca: string | undefined };
  readonly spice: Settings["spice"] & { readonly html5proxy_base_url: string };
  readonly inventory: { readonly trust_domain_metadata: boolean };
  /** `keystone` is undefined where there is no Keystone. */
  readonly identity: Settings["identity"] & { readonly keystone: KeystoneSettings | undefined };
};

type Settings = z.infer<typeof controllerSchema>;

/** Reads and checks the controller's configuration. Throws ConfigError. */
export function loadControllerConfig(source: ConfigSource): ControllerConfig {
  const config = loadConfig(controllerSchema, source);
  const { agents, consoleauth, database, identity, inventory, spice } = config;
  const { ca_file: caFile, ...displays } = config.displays;
  // These files are read again at the start and after; here an operator is told in time.
  requireTlsFiles(config);
  readPolicy(config.policy.file);
  const authority = authorityFiles(config.enrollment);
  if (authority) requireAuthorityFiles(authority);
  return {
    ...config,
    consoleauth: { ...consoleauth, token: readToken(consoleauth.token_file) },
    database: { url: database.url, password: readSecret("database.password_file", database.password_file) },
    displays: { ...displays, ca: readAuthorities("displays.ca_file", caFile) },
    spice: { ...spice, html5proxy_base_url: spice.html5proxy_base_url ?? usualBaseUrl(config) },
    inventory: { trust_domain_metadata: inventory.trust_domain_metadata ?? staysOnLoopback(agents.listen) },
    identity: { ...identity, keystone: readKeystoneSettings(identity) },
  };
}

/** What console URLs begin with in a browser on this machine. */
function usualBaseUrl({ proxy, console }: Pick<Settings, "proxy" | "console">): string {
  const scheme = proxy.cert === undefined ? "http" : "https";
  const page = console.compat_tokens ? "spice_auto.html" : "console";
  return `${scheme}://127.0.0.1:6082/${page}`;
}

function requireTlsFiles({ api, agents, gateway, proxy, telemetry }: Settings): void {
  const sections = Object.entries({ api, agents, gateway, proxy, telemetry });
  const problems = sections.flatMap(([section, settings]) => tlsFileProblems(section, settings));
  if (problems.length > 0) throw new ConfigError(problems);
}

function requireAuthorityFiles(files: AuthorityFileNames): void {
  try {
    readAuthorityFiles(files);
  } catch (error) {
    throw new ConfigError([`enrollment.ca_cert: ${messageOf(error)}`]);
  }
}

function readToken(file: string | undefined): string | undefined {
  const name = "consoleauth.token_file";
  const token = readSecret(name, file);
  if (token === "") throw new ConfigError([`${name}: ${file} holds no token`]);
  return token;
}
