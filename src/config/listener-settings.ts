// SPDX-License-Identifier: Apache-2.0
// The sections of everything that listens for the whole controller: `api`, `agents`, `gateway`, `proxy`, `telemetry`.
import { z } from "zod";
import { anyAddress, isWildcard } from "../lib/listen-address.js";
import { authoritiesSetting, checkTls, tlsSettings } from "../lib/tls-settings.js";
import { network, origin } from "./setting-forms.js";

/** Where programs ask. */
export const apiSchema = z
  .strictObject({
    listen: anyAddress().default("127.0.0.1:50051").describe("Where the gRPC API listens."),
    ...tlsSettings("api", "api.listen"),
  })
  .superRefine(checkTls("api", ["listen"]));

/** Where agents connect, and what they show and are shown. */
export const agentsSchema = z
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
      .describe("Where agents bring the displays that they opened, one connection for each channel; agents are told."),
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
  );

/** Where clients of Nova ask. */
export const gatewaySchema = z
  .strictObject({
    listen: anyAddress()
      .optional()
      .describe("Where the REST API for clients of Nova listens, usually 127.0.0.1:8774; unset = there is none."),
    ...tlsSettings("gateway", "gateway.listen"),
  })
  .superRefine(checkTls("gateway", ["listen"]));

/** Where browsers open consoles. */
export const proxySchema = z
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
  .superRefine(checkTls("proxy", ["listen"]));

/** Where monitoring asks. */
export const telemetrySchema = z
  .strictObject({
    listen: anyAddress()
      .default("127.0.0.1:9464")
      .describe("Where /metrics, /healthz and /readyz are served over HTTP."),
    ...tlsSettings("telemetry", "telemetry.listen"),
  })
  .superRefine(checkTls("telemetry", ["listen"]));
