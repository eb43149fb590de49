// SPDX-License-Identifier: Apache-2.0
import { hostname } from "node:os";
import { z } from "zod";
import type { ConfigSource } from "../src/config/load-config.js";
import { ConfigError, loadConfig } from "../src/config/load-config.js";
import { MAX_HOST_LENGTH } from "../src/lib/limits.js";
import { anyAddress } from "../src/lib/listen-address.js";
import { LOG_LEVELS } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import { authoritiesSetting, checkTls, tlsFileProblems, tlsSettings } from "../src/lib/tls-settings.js";
import { parseText } from "../src/lib/validate.js";

/** Every setting of the agent. Sections and names are Nova's where Nova has the option. */
export const agentSchema = z.strictObject({
  agent: z
    .strictObject({
      host: hostName("host")
        .optional()
        .describe("The name of this host, which instances carry as their host; the machine's host name unless set."),
      controllers: z
        .array(anyAddress())
        .min(1, "must name at least one controller")
        .refine((list) => new Set(list).size === list.length, "must not name a controller twice")
        .default(["127.0.0.1:50052"])
        .describe(
          "Controllers to connect to, each as host:port of its agents.listen, as its certificate names it; one that lives is enough, it tells of the others.",
        ),
      ...tlsSettings("agent", "this host's agent"),
      ...authoritiesSetting("controllers"),
    })
    .superRefine(checkTls("agent", ["controllers"]))
    .refine(({ cert, ca_file: ca }) => cert === undefined || ca !== undefined, {
      path: ["ca_file"],
      error: "is needed with agent.cert: name the authority that signs the certificates of controllers",
    })
    .prefault({}),
  libvirt: z
    .strictObject({
      uri: z.string().min(1).default("qemu:///system").describe("The libvirt connection, as virsh -c takes it."),
    })
    .prefault({}),
  spice: z
    .strictObject({
      enabled: z.boolean().default(true).describe("Whether this host gives out SPICE consoles."),
      server_proxyclient_address: hostName("server_proxyclient_address")
        .default("127.0.0.1")
        .describe("The address at which console proxies reach the SPICE ports of this host."),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      listen: anyAddress()
        .default("127.0.0.1:9465")
        .describe("Where /metrics, /healthz and /readyz are served over HTTP."),
      ...tlsSettings("telemetry", "telemetry.listen"),
    })
    .superRefine(checkTls("telemetry", ["listen"]))
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

/** The checked configuration; `agent.host` is filled in. */
export type AgentConfig = Omit<Settings, "agent"> & {
  readonly agent: Settings["agent"] & { readonly host: string };
};

type Settings = z.infer<typeof agentSchema>;

/** Reads and checks the agent's configuration. Throws ConfigError. */
export function loadAgentConfig(source: ConfigSource): AgentConfig {
  const config = loadConfig(agentSchema, source);
  const { agent, telemetry } = config;
  const problems = [...tlsFileProblems("agent", agent), ...tlsFileProblems("telemetry", telemetry)];
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...config, agent: { ...agent, host: agent.host ?? hostname() } };
}

function hostName(field: string): z.ZodString {
  return z.string().superRefine((text, context) => {
    try {
      parseText(text, { field, most: MAX_HOST_LENGTH, required: true });
    } catch (error) {
      context.addIssue({ code: "custom", message: messageOf(error) });
    }
  });
}
