// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { z } from "zod";
import { isLoopback, loopbackAddress } from "../lib/listen-address.js";
import { LOG_LEVELS } from "../lib/log.js";
import { messageOf } from "../lib/message-of.js";
import type { ConfigSource } from "./load-config.js";
import { ConfigError, loadConfig } from "./load-config.js";

/** Every setting of the controller. Sections and names are Nova's where Nova has the option. */
export const controllerSchema = z.strictObject({
  api: z
    .strictObject({
      listen: loopbackAddress().default("127.0.0.1:50051").describe("Where the gRPC API listens."),
    })
    .prefault({}),
  agents: z
    .strictObject({
      listen: loopbackAddress().default("127.0.0.1:50052").describe("Where agents connect."),
      advertise: loopbackAddress()
        .refine((text) => !text.endsWith(":0"), "must name a port")
        .optional()
        .describe(
          "The address at which agents reach this very controller, never a balancer's; every agent is told, whichever controller it found first; unset = agents.listen.",
        ),
      tunnel_listen: loopbackAddress()
        .default("127.0.0.1:50053")
        .describe(
          "Where agents bring the displays that they opened, one connection for each channel; agents are told.",
        ),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      listen: loopbackAddress()
        .optional()
        .describe("Where the REST API for clients of Nova listens, usually 127.0.0.1:8774; unset = there is none."),
    })
    .prefault({}),
  proxy: z
    .strictObject({
      listen: loopbackAddress()
        .default("127.0.0.1:6082")
        .describe("Where browsers open console URLs, over plain HTTP/1.1; TLS ends in a balancer on this machine."),
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
  telemetry: z
    .strictObject({
      listen: loopbackAddress()
        .default("127.0.0.1:9464")
        .describe("Where /metrics, /healthz and /readyz are served over HTTP."),
    })
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
          "What console URLs begin with: the address of proxy.listen as browsers see it, and /console; unset = http://127.0.0.1:6082/console, with console.compat_tokens http://127.0.0.1:6082/spice_auto.html.",
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
        .default(true)
        .describe(
          "Whether callers on this machine are identity.loopback_caller, over REST with any token; otherwise all are refused.",
        ),
      loopback_caller: z
        .strictObject({
          subject: z.string().min(1).default("loopback").describe("Name of the caller in logs and audit."),
          project: z
            .string()
            .default("")
            .describe("The project whose instances the caller sees; an admin sees every project's."),
          roles: z
            .array(z.enum(["admin", "member", "reader", "auditor", "service"]))
            .min(1)
            .default(["admin"])
            .describe("The caller's roles: admin, member, reader, auditor, service."),
        })
        .prefault({}),
    })
    .prefault({}),
  inventory: z
    .strictObject({
      trust_domain_metadata: z
        .boolean()
        .default(true)
        .describe(
          "Whether name, project and user of an unregistered instance are taken from its libvirt metadata. On loopback every host is this machine, so it is safe there.",
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

/** The checked configuration; `database.password` comes from its file. */
export type ControllerConfig = Omit<Settings, "database" | "spice"> & {
  readonly database: { readonly url: string; readonly password: string | undefined };
  readonly spice: Settings["spice"] & { readonly html5proxy_base_url: string };
};

type Settings = z.infer<typeof controllerSchema>;

/** Reads and checks the controller's configuration. Throws ConfigError. */
export function loadControllerConfig(source: ConfigSource): ControllerConfig {
  const config = loadConfig(controllerSchema, source);
  const { url, password_file: passwordFile } = config.database;
  const password = passwordFile === undefined ? undefined : readSecret(passwordFile);
  const page = config.console.compat_tokens ? "spice_auto.html" : "console";
  const { html5proxy_base_url: baseUrl = `http://127.0.0.1:6082/${page}` } = config.spice;
  return {
    ...config,
    database: { url, password },
    spice: { ...config.spice, html5proxy_base_url: baseUrl },
  };
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, "utf8").trimEnd();
  } catch (error) {
    throw new ConfigError([`database.password_file: ${messageOf(error)}`]);
  }
}

/** An origin as browsers send it: scheme, host, and port where it is not the scheme's own. */
function origin(): z.ZodString {
  return z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text && text !== "null", {
    error: ({ input }) =>
      typeof input === "string" && /^[\w.:[\]-]+$/.test(input)
        ? `must be a whole origin: write https://${input} (or http://) for Nova's bare host name`
        : "must be an origin such as https://dashboard.example, without a path",
  });
}

/** What the client of memcached takes: no address in brackets. */
function memcachedAddress(): z.ZodString {
  return loopbackAddress().refine((text) => !text.startsWith("["), "must be an IPv4 address or localhost");
}

/** An address, or a network as address/bits. */
function network(): z.ZodString {
  return z.string().refine(isNetwork, "must be an address or a network, for example 10.0.0.0/8");
}

function isNetwork(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** A URL that a token can be appended to. */
function plainUrl(): z.ZodString {
  return z.string().refine(isPlainUrl, "must be an http or https URL without query and fragment");
}

function isPlainUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && !/[?#]/.test(text);
}

/** True where nothing leaves this machine unencrypted, or the operator has said by name that it may. */
function isPrivateDatabaseUrl(text: string): boolean {
  if (!URL.canParse(text)) return true;
  const { hostname, searchParams } = new URL(text);
  const host = searchParams.get("host") ?? hostname.replace(/^\[|\]$/g, "");
  return host === "" || host.startsWith("/") || isLoopback(host) || searchParams.has("sslmode");
}
