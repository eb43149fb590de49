// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { AuthorityFileNames } from "../lib/authority-files.js";
import { readAuthorityFiles } from "../lib/authority-files.js";
import { MAX_CERTIFICATE_DAYS, MAX_HOST_LENGTH } from "../lib/limits.js";
import { anyAddress, isWildcard, loopbackAddress, staysOnLoopback } from "../lib/listen-address.js";
import { LOG_LEVELS } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import { authoritiesSetting, checkTls, tlsFileProblems, tlsSettings } from "../lib/tls-settings.js";
import { limitsSchema } from "./limit-settings.js";
import type { KeystoneSettings } from "./keystone-settings.js";
import { keystoneProblems, keystoneShape, readKeystoneSettings } from "./keystone-settings.js";
import type { ConfigSource } from "./load-config.js";
import { ConfigError, loadConfig } from "./load-config.js";
import { readPolicy, ROLES } from "./policy-table.js";
import { readAuthorities, readSecret } from "./setting-files.js";
import {
  areCiphers,
  dataPath,
  isPrivateDatabaseUrl,
  memcachedAddress,
  network,
  origin,
  plainUrl,
  subject,
} from "./setting-forms.js";

/** SPICE's channel types that can be let in. Without main there is no viewer. */
export const CHANNEL_TYPES = [
  "main",
  "display",
  "inputs",
  "cursor",
  "playback",
  "record",
  "smartcard",
  "usbredir",
  "port",
  "webdav",
] as const;

const SHORTEST_IDLE_TIME_S = 10;

/** Every setting of the controller. Sections and names are Nova's where Nova has the option. */
export const controllerSchema = z.strictObject({
  api: z
    .strictObject({
      listen: anyAddress().default("127.0.0.1:50051").describe("Where the gRPC API listens."),
      ...tlsSettings("api", "api.listen"),
    })
    .superRefine(checkTls("api", ["listen"]))
    .prefault({}),
  agents: z
    .strictObject({
      listen: anyAddress().default("127.0.0.1:50052").describe("Where agents connect."),
      advertise: anyAddress()
        .refine((text) => !text.endsWith(":0"), "must name a port")
        .refine((text) => !isWildcard(text), "must be an address that agents can dial")
        .optional()
        .describe(
          "The address at which agents reach this very controller, never a balancer's, and in its certificate; every agent is told, whichever controller it found first, and brings tunnels to the same host; unset = agents.listen, and agents.tunnel_listen for tunnels.",
        ),
      tunnel_listen: anyAddress()
        .default("127.0.0.1:50053")
        .describe(
          "Where agents bring the displays that they opened, one connection for each channel; agents are told.",
        ),
      ...tlsSettings("agents", "agents.listen and agents.tunnel_listen"),
      ...authoritiesSetting("agents; agents without one are refused"),
    })
    .superRefine(checkTls("agents", ["listen", "tunnel_listen", "advertise"]))
    .refine(({ cert, ca_file: ca }) => cert === undefined || ca !== undefined, {
      path: ["ca_file"],
      error: "is needed with agents.cert: name the authority that signs the certificates of agents",
    })
    .refine(
      ({ listen, tunnel_listen: tunnels, advertise }) => advertise !== undefined || ![listen, tunnels].some(isWildcard),
      {
        path: ["advertise"],
        error: "is needed where agents.listen or agents.tunnel_listen is no single address: say which one agents dial",
      },
    )
    .prefault({}),
  gateway: z
    .strictObject({
      listen: anyAddress()
        .optional()
        .describe("Where the REST API for clients of Nova listens, usually 127.0.0.1:8774; unset = there is none."),
      ...tlsSettings("gateway", "gateway.listen"),
    })
    .superRefine(checkTls("gateway", ["listen"]))
    .prefault({}),
  proxy: z
    .strictObject({
      listen: anyAddress()
        .default("127.0.0.1:6082")
        .describe(
          "Where browsers open console URLs, over HTTP/1.1: with proxy.cert over TLS and anywhere, else in the clear and on loopback.",
        ),
      ...tlsSettings("proxy", "proxy.listen"),
      frame_ancestors: z
        .array(origin())
        .default([])
        .describe(
          "Other origins (https://dashboard.example) whose pages may show a console in a frame; the console must then be on https.",
        ),
      trusted_proxies: z
        .array(network())
        .default([])
        .describe(
          "Addresses or networks (10.0.0.0/8) of balancers whose X-Forwarded-For, -Proto and -Host are believed.",
        ),
      web: z
        .string()
        .min(1)
        .default("/usr/share/spice-html5")
        .describe("The folder of the page that opens consoles where console.compat_tokens is on."),
      drain_seconds: z
        .int()
        .min(0)
        .max(15)
        .default(5)
        .describe(
          "For how many seconds open consoles go on once this controller was told to stop; then they connect again; 0 to 15.",
        ),
    })
    .superRefine(checkTls("proxy", ["listen"]))
    .prefault({}),
  console: z
    .strictObject({
      allowed_origins: z
        .array(origin())
        .default([])
        .describe(
          "Other origins (https://dashboard.example) whose scripts may open and end consoles here; links and frames need none.",
        ),
      compat_tokens: z
        .boolean()
        .default(false)
        .describe(
          "Whether viewers made for Nova's proxy may enter with ?token=; each token then opens its console until it expires.",
        ),
      channel_types: z
        .array(z.enum(CHANNEL_TYPES))
        .refine((types) => types.includes("main"), "must name main, the channel that every viewer begins with")
        .default(["main", "display", "inputs", "cursor", "playback", "record"])
        .describe(
          `The SPICE channels that viewers may open, of ${CHANNEL_TYPES.join(", ")}; any other is refused by itself. The page needs main, display and inputs.`,
        ),
      ssl_minimum_version: z
        .enum(["default", "tlsv1_2", "tlsv1_3"])
        .default("default")
        .describe("The oldest TLS that proxy.listen speaks: default (tlsv1_2), tlsv1_2, tlsv1_3."),
      ssl_ciphers: z
        .string()
        .refine(areCiphers, "must be a list of ciphers as OpenSSL has it, with one at least that it knows")
        .optional()
        .describe("The ciphers that proxy.listen takes, as OpenSSL lists them; unset = those of Node.js."),
    })
    .prefault({}),
  sessions: z
    .strictObject({
      max_channels: z
        .int()
        .min(4)
        .max(256)
        .default(32)
        .describe("How many channels one session may have open at a time; a viewer opens about five; 4 to 256."),
      max_per_instance: z
        .int()
        .min(0)
        .max(100_000)
        .default(16)
        .describe(
          "How many sessions of one instance may be open at a time; one without a viewer counts until sessions.rejoin_time is over; 0 = any number.",
        ),
      max_per_caller: z
        .int()
        .min(0)
        .max(100_000)
        .default(500)
        .describe(
          "How many sessions may be open at a time of the URLs that one caller asked for; a portal that asks for everybody's URLs is one caller; 0 = any number.",
        ),
      max_per_controller: z
        .int()
        .min(0)
        .max(100_000)
        .default(2_000)
        .describe(
          "How many sessions with a viewer on this controller keep further ones from beginning here; 0 = any number.",
        ),
      second_viewer: z
        .enum(["share", "deny", "take-over"])
        .default("share")
        .describe(
          "When a console is opened that somebody has open: share = both may have it, deny = the newer one is refused, take-over = the older one's session ends.",
        ),
      idle_time: z
        .int()
        .min(0)
        .max(31_536_000)
        .refine(
          (seconds) => seconds === 0 || seconds >= SHORTEST_IDLE_TIME_S,
          `must be 0 or at least ${SHORTEST_IDLE_TIME_S}`,
        )
        .default(0)
        .describe(
          `After how many seconds without a key or the mouse a session ends, ${SHORTEST_IDLE_TIME_S} to a year; the page warns a minute before; 0 = never.`,
        ),
      max_length: z
        .int()
        .min(0)
        .max(31_536_000)
        .default(0)
        .describe("After how many seconds a session ends whatever happens, at most a year; 0 = never."),
      rejoin_time: z
        .int()
        .min(5)
        .max(86_400)
        .default(60)
        .describe(
          "For how many seconds a session can be joined again after its last channel closed, before it ends; 5 to 86,400.",
        ),
    })
    .prefault({}),
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
  telemetry: z
    .strictObject({
      listen: anyAddress()
        .default("127.0.0.1:9464")
        .describe("Where /metrics, /healthz and /readyz are served over HTTP."),
      ...tlsSettings("telemetry", "telemetry.listen"),
    })
    .superRefine(checkTls("telemetry", ["listen"]))
    .prefault({}),
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
  identity: z
    .strictObject({
      trust_loopback: z
        .boolean()
        .default(false)
        .describe(
          "Whether callers on this machine that show no token are identity.loopback_caller, over REST, unless there is a Keystone, those with any token; a web server on this machine brings in everybody else too. Otherwise every caller needs a token.",
        ),
      loopback_caller: z
        .strictObject({
          subject: z.string().min(1).default("loopback").describe("Name of the caller in logs and audit."),
          project: z
            .string()
            .default("")
            .describe("The project whose instances the caller sees; an admin sees every project's."),
          roles: z
            .array(z.enum(ROLES))
            .min(1)
            .default(["admin"])
            .describe(`The caller's roles: ${ROLES.join(", ")}.`),
        })
        .prefault({}),
      ...keystoneShape,
    })
    .superRefine((identity, context) => {
      for (const { path, error } of keystoneProblems(identity)) {
        context.addIssue({ code: "custom", path: [path], message: error });
      }
    })
    .prefault({}),
  enrollment: z
    .strictObject({
      ca_cert: z
        .string()
        .min(1)
        .optional()
        .describe(
          "PEM file of the authority that signs hosts' certificates, and after it of one more that is believed too; the same on every controller; unset = hosts cannot enrol here.",
        ),
      ca_key: z
        .string()
        .min(1)
        .optional()
        .describe(
          "PEM file of the key of the first authority in enrollment.ca_cert; others must not be able to read it.",
        ),
      certificate_days: z
        .int()
        .min(1)
        .max(MAX_CERTIFICATE_DAYS)
        .default(7)
        .describe(
          `For how many days a host's certificate is good, 1 to ${MAX_CERTIFICATE_DAYS}; agents renew theirs at two thirds of it.`,
        ),
    })
    .refine(({ ca_cert: cert, ca_key: key }) => cert === undefined || key !== undefined, {
      path: ["ca_cert"],
      error: "needs enrollment.ca_key",
    })
    .refine(({ ca_cert: cert, ca_key: key }) => key === undefined || cert !== undefined, {
      path: ["ca_key"],
      error: "needs enrollment.ca_cert",
    })
    .prefault({}),
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

/** Where the authority of hosts' certificates is; undefined where hosts cannot enrol. */
export function authorityFiles({
  ca_cert: cert,
  ca_key: key,
}: Pick<Settings["enrollment"], "ca_cert" | "ca_key">): AuthorityFileNames | undefined {
  return cert === undefined || key === undefined ? undefined : { cert, key };
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
