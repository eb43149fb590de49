// SPDX-License-Identifier: Apache-2.0
// The entrance for clients of Nova: its REST API, as far as consoles need it, over the use cases that gRPC has too.
import type { VerbGate } from "../console/verb-gate.js";
import { HttpRequests } from "../http/http-requests.js";
import { HttpServer } from "../http/http-server.js";
import { TrustedProxies } from "../http/trusted-proxies.js";
import { GATEWAY_REQUEST_MS, MAX_GATEWAY_BODY_BYTES } from "../lib/limits.js";
import type { Address } from "../lib/listen-address.js";
import type { Log } from "../lib/log.js";
import type { ServerTls } from "../lib/tls-server.js";
import { REQUEST_ID_HEADER } from "../rpc/call-report.js";
import type { Callers } from "../rpc/callers.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import type { GatewayRoutesOptions } from "./gateway-routes.js";
import { gatewayRoutes } from "./gateway-routes.js";
import { NovaCalls } from "./nova-calls.js";
import { faultBody } from "./nova-fault.js";

/** What the gateway is made from. */
export interface GatewayServerOptions extends Omit<GatewayRoutesOptions, "calls" | "requests"> {
  readonly listen: Address;
  /** Undefined: it speaks in the clear. */
  readonly tls?: ServerTls | undefined;
  readonly callers: Pick<Callers, "admit">;
  /** The setting identity.keystone_public_url; undefined where there is no Keystone. */
  readonly keystoneUrl: string | undefined;
  readonly gate: Pick<VerbGate, "require">;
  /** The setting proxy.trusted_proxies. */
  readonly trustedProxies: readonly string[];
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, "gatewaySeconds">;
  /** From a request's first byte to its last, if not as usual; milliseconds. */
  readonly requestMs?: number;
}

/** Nova's names of a request in its answers, and the one that is in the log and the audit. */
const REQUEST_IDS = {
  headers: ["x-openstack-request-id", "x-compute-request-id", REQUEST_ID_HEADER],
  prefix: "req-",
};
/** Console URLs and what tokens stand for are nothing to keep. */
const HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

/** Makes the server for clients of Nova. Stop refuses what is new with DRAINING and lets requests that run finish: it always ends. */
export function createGatewayServer(options: GatewayServerOptions): HttpServer {
  const { listen, tls, callers, keystoneUrl, gate, trustedProxies, log, metrics, requestMs, ...useCases } = options;
  const proxies = new TrustedProxies(trustedProxies);
  const seconds = metrics.gatewaySeconds;
  const requests = new HttpRequests({ proxies, ids: REQUEST_IDS, quietReads: false, log, seconds });
  const calls = new NovaCalls({ requests, callers, keystoneUrl, gate, draining: () => server.stopping });
  const server: HttpServer = new HttpServer({
    name: "gateway",
    listen,
    tls,
    routes: () => gatewayRoutes({ ...useCases, calls, requests }),
    requests,
    problemBody: faultBody,
    headers: HEADERS,
    maxBodyBytes: MAX_GATEWAY_BODY_BYTES,
    log,
    requestMs,
    finishMs: GATEWAY_REQUEST_MS,
  });
  return server;
}
