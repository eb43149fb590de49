// SPDX-License-Identifier: Apache-2.0
import { hostname } from "node:os";
import { z } from "zod";
import type { ConfigSource } from "../src/config/load-config.js";
import { loadConfig } from "../src/config/load-config.js";
import { MAX_HOST_LENGTH } from "../src/lib/limits.js";
import { loopbackAddress } from "../src/lib/listen-address.js";
import { LOG_LEVELS } from "../src/lib/log.js";
import { messageOf } from "../src/lib/message-of.js";
import { parseText } from "../src/lib/validate.js";

/** Every setting of the agent. Sections and names are Nova's where Nova has the option. */
export const agentSchema = z.strictObject({
  agent: z
    .strictObject({
      host: hostName("host")
        .optional()
        .describe("The name of this host, which instances carry as their host; the machine's host name unless set."),
      controllers: z
        .array(loopbackAddress())
        .min(1, "must name at least one controller")
        .refine((list) => new Set(list).size === list.length, "must not name a controller twice")
        .default(["127.0.0.1:50052"])
        .describe(
          "Controllers to connect to, each as host:port of its agents.listen; one that lives is enough, it tells of the others.",
        ),
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
      listen: loopbackAddress()
        .default("127.0.0.1:9465")
        .describe("Where /metrics, /healthz and /readyz are served over HTTP."),
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

/** The checked configuration; `agent.host` is filled in. */
export type AgentConfig = Omit<z.infer<typeof agentSchema>, "agent"> & {
  readonly agent: { readonly host: string; readonly controllers: readonly string[] };
};

/** Reads and checks the agent's configuration. Throws ConfigError. */
export function loadAgentConfig(source: ConfigSource): AgentConfig {
  const config = loadConfig(agentSchema, source);
  return { ...config, agent: { ...config.agent, host: config.agent.host ?? hostname() } };
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
