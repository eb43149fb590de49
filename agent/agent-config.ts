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
import { identityFiles } from "./identity-folder.js";

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
      enrollment: z
        .array(anyAddress())
        .default([])
        .describe(
          "Controllers that give this host its certificate, each as host:port of its api.listen, as its certificate names it; empty = it is in agent.cert.",
        ),
      identity_folder: z
        .string()
        .min(1)
        .default("/var/lib/spicegate-agent")
        .describe("The folder where the agent keeps the certificate, its key and the authorities that it has got."),
      join_token_file: z
        .string()
        .min(1)
        .default("/var/lib/spicegate-agent/join-token")
        .describe("The file of the token that the agent gets its first certificate with; deleted once it is used."),
    })
    .refine(({ enrollment, cert, ca_file: ca }) => enrollment.length === 0 || (cert ?? ca) === undefined, {
      path: ["enrollment"],
      error: "gives the agent its certificate: take agent.cert, agent.key and agent.ca_file out",
    })
    .superRefine((agent, context) => checkTls<typeof agent>("agent", ["controllers"])(withIdentity(agent), context))
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

interface IdentitySettings {
  readonly enrollment: readonly string[];
  readonly identity_folder: string;
}

type Settings = z.infer<typeof agentSchema>;

/** Reads and checks the agent's configuration. Throws ConfigError. */
export function loadAgentConfig(source: ConfigSource): AgentConfig {
  const config = loadConfig(agentSchema, source);
  const { telemetry } = config;
  const agent = withIdentity(config.agent);
  // What is enrolled for need not be there yet.
  const own = agent.enrollment.length === 0 ? tlsFileProblems("agent", agent) : [];
  const problems = [...own, ...tlsFileProblems("telemetry", telemetry)];
  if (problems.length > 0) throw new ConfigError(problems);
  return { ...config, agent: { ...agent, host: agent.host ?? hostname() } };
}

/** A host that enrols has its certificate in its folder. */
function withIdentity<Section extends IdentitySettings>(agent: Section): Section {
  if (agent.enrollment.length === 0) return agent;
  const { certFile, caFile } = identityFiles(agent.identity_folder);
  return { ...agent, cert: certFile, ca_file: caFile };
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
