// SPDX-License-Identifier: Apache-2.0
// What lets browsers at displays, from the sessions in Postgres up to the proxy: the viewers' half of the controller.
import { createSecureContext } from "node:tls";
import type { AgentRouter } from "./agents/agent-router.js";
import { AuditLog } from "./audit/audit-log.js";
import { RefusalRecorder } from "./audit/refusal-recorder.js";
import type { ControllerConfig } from "./config/controller-config.js";
import { BeginSession } from "./console/begin-session.js";
import { EnterByToken } from "./console/enter-by-token.js";
import { IdleSessions } from "./console/idle-sessions.js";
import { RedeemConsoleToken } from "./console/redeem-console-token.js";
import { SessionEndings } from "./console/session-endings.js";
import { ViewerDrain } from "./console/viewer-drain.js";
import { ViewerRefusals } from "./console/viewer-refusals.js";
import { ProvenSessions } from "./console/viewer-sessions.js";
import type { LegacyTokens } from "./consoleauth/console-auth.js";
import { DatabaseShare } from "./db/database-share.js";
import type { Database } from "./db/pool.js";
import { DirectDisplays } from "./displays/direct-displays.js";
import type { Displays } from "./displays/display.js";
import { HostDisplays } from "./displays/host-displays.js";
import { TunnelDisplays } from "./displays/tunnel-displays.js";
import { TunnelListener } from "./displays/tunnel-listener.js";
import type { HostRevocations } from "./identity/host-revocations.js";
import type { InstanceRegistry } from "./instances/instance-registry.js";
import { systemClock } from "./lib/clock.js";
import type { NamedPart } from "./lib/lifecycle.js";
import { DB_CONNECT_MS, MAX_WAITING_VIEWERS, VIEWER_DB_CONNECTIONS } from "./lib/limits.js";
import { requireAddress } from "./lib/listen-address.js";
import type { ListenerTls } from "./lib/listener-tls.js";
import { listenerTls } from "./lib/listener-tls.js";
import type { ServerTls } from "./lib/tls-server.js";
import type { HttpServer } from "./http/http-server.js";
import type { Log } from "./lib/log.js";
import { createProxyServer } from "./proxy/proxy-server.js";
import type { CallLimits } from "./rpc/call-limits.js";
import { SpiceViewer } from "./proxy/spice-link.js";
import { runViewer, VIEWER_WEBSOCKETS } from "./proxy/viewer-socket.js";
import { ChannelStore } from "./sessions/channel-store.js";
import { ControllerPlaces } from "./sessions/controller-places.js";
import { SessionBeginnings } from "./sessions/session-beginnings.js";
import { SessionRegistry } from "./sessions/session-registry.js";
import type { SessionRules } from "./sessions/session-rules.js";
import { SessionStore } from "./sessions/session-store.js";
import { SessionWatches } from "./sessions/session-watches.js";
import { WatchStore } from "./sessions/watch-store.js";
import type { ControllerMetrics } from "./telemetry/controller-metrics.js";
import type { Readiness } from "./telemetry/readiness.js";
import { ConsoleTokenStore } from "./tokens/console-token-store.js";

/** What the viewers' parts share with the rest of the controller. */
export interface ViewerPartsOptions {
  readonly config: ControllerConfig;
  readonly controllerId: string;
  readonly database: Database;
  readonly instances: InstanceRegistry;
  readonly agents: AgentRouter;
  readonly readiness: Readiness;
  readonly legacy: LegacyTokens;
  readonly limits: CallLimits;
  /** The agents' TLS, by which tunnels come too. */
  readonly revocations: Pick<HostRevocations, "onRevoked">;
  readonly agentTls: ListenerTls;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
}

/** The parts that serve viewers, and those of them that the API uses too. */
export interface ViewerParts {
  readonly sessions: SessionStore;
  readonly endings: SessionEndings;
  readonly watches: SessionWatches;
  readonly displays: Displays;
  /** In the order of start: what remembers sessions. They stop after everything that asks for them. */
  readonly records: readonly NamedPart[];
  /** In the order of start: the ways in. They stop first: viewers leave, then the proxy, then the displays. */
  readonly entrances: readonly NamedPart[];
}

/** What strangers may take of the database: their crowd is in nobody else's way. */
const VIEWERS_SHARE = { slots: VIEWER_DB_CONNECTIONS, waiting: MAX_WAITING_VIEWERS, waitMs: DB_CONNECT_MS };

/** Constructs them; nothing runs before the lifecycle starts them. */
export function createViewerParts(options: ViewerPartsOptions): ViewerParts {
  const { config, controllerId, database, instances, agents, legacy, limits, log, metrics } = options;
  const clock = systemClock;
  const entrance = new DatabaseShare(database, VIEWERS_SHARE, clock);
  const rules = rulesFrom(config);
  const sessions = new SessionStore(database, rules);
  const maxChannels = config.sessions.max_channels;
  const channels = new ChannelStore({ database, entrance, controllerId, maxChannels });
  const registry = new SessionRegistry({ channels, sessions, database, log, metrics, clock });
  const endings = new SessionEndings({ sessions, channels, registry, instances, agents, log, clock });
  const idle = new IdleSessions({ endings, database, metrics, log, clock });
  const watches = new SessionWatches({ store: new WatchStore(database), log, metrics, clock });
  const recorder = new RefusalRecorder({ audit: new AuditLog(database), database, log, clock });
  const refusals = new ViewerRefusals(recorder, metrics);
  const drain = new ViewerDrain(registry, config.proxy.drain_seconds * 1_000);
  const tunnels = createTunnelListener(options);
  options.revocations.onRevoked((host) => tunnels.cut(host));
  const displays = createDisplays(options, tunnels);
  const tokens = new ConsoleTokenStore(entrance);
  const places = new ControllerPlaces({ most: config.sessions.max_per_controller, registry, clock });
  const beginnings = new SessionBeginnings(entrance, rules);
  const beginning = new BeginSession({ beginnings, places, endings, limit: limits.sessions, log });
  const shared = { sessions: new SessionStore(entrance, rules), beginning, instances, agents, drain, refusals, log };
  const viewers = new ProvenSessions({
    ...shared,
    registry,
    endings,
    displays,
    metrics,
    clock,
    maxChannels,
    idleS: rules.idleS,
    channelTypes: new Set(config.console.channel_types),
  });
  const { tls, parts: certificate } = listenerTls("proxy", config.proxy, { metrics, log });
  const proxy = createProxy(options, tls, {
    refusals,
    redeeming: new RedeemConsoleToken({ ...shared, tokens, legacy }),
    sessions: viewers,
    entrance: new EnterByToken({ ...shared, tokens, legacy, viewers }),
  });
  return {
    sessions,
    endings,
    watches,
    displays,
    records: [
      { name: "channels", part: registry },
      { name: "session endings", part: endings },
      ...(rules.idleS > 0 ? [{ name: "idle sessions", part: idle }] : []),
      { name: "session watches", part: watches },
      { name: "refusals", part: recorder },
    ],
    entrances: [
      { name: "tunnels", part: tunnels },
      ...certificate,
      { name: "proxy", part: proxy },
      { name: "viewers", part: drain, stopMs: drain.stopMs },
    ],
  };
}

function rulesFrom({ sessions, consoleauth }: ControllerConfig): SessionRules {
  return {
    maxLengthS: sessions.max_length,
    endsWithToken: consoleauth.enforce_session_timeout,
    rejoinS: sessions.rejoin_time,
    idleS: sessions.idle_time,
    maxPerInstance: sessions.max_per_instance,
    maxPerCaller: sessions.max_per_caller,
    secondViewer: sessions.second_viewer,
  };
}

/** Each host's displays by its own way. */
function createDisplays({ config, agents: router, log }: ViewerPartsOptions, tunnels: TunnelListener): Displays {
  const { data_path: usualPath, hosts, require_tls: requireTls, ca } = config.displays;
  const settings = new Map(Object.entries(hosts));
  return new HostDisplays({
    pathOf: (host) => settings.get(host)?.data_path ?? usualPath,
    paths: {
      agent: new TunnelDisplays({ router, tunnels }),
      direct: new DirectDisplays({
        router,
        secureContext: createSecureContext({ ca, minVersion: "TLSv1.2" }),
        requireTls,
        subjectOf: (host) => settings.get(host)?.subject,
        log,
        clock: systemClock,
      }),
    },
  });
}

/** Tunnels come to the host at which agents reach this controller. */
function createTunnelListener({ config, agentTls, log }: ViewerPartsOptions): TunnelListener {
  const { tunnel_listen: listen, advertise } = config.agents;
  return new TunnelListener({
    listen: requireAddress(listen),
    advertisedHost: advertise === undefined ? undefined : requireAddress(advertise).host,
    tls: agentTls.tls,
    log,
  });
}

/** By their names in Nova's option. */
const TLS_VERSIONS = { default: "TLSv1.2", tlsv1_2: "TLSv1.2", tlsv1_3: "TLSv1.3" } as const;

interface ProxyUseCases {
  readonly redeeming: RedeemConsoleToken;
  readonly sessions: ProvenSessions;
  readonly entrance: EnterByToken;
  readonly refusals: ViewerRefusals;
}

function createProxy(
  { config, readiness, limits, log, metrics }: ViewerPartsOptions,
  tls: ServerTls | undefined,
  { entrance, ...useCases }: ProxyUseCases,
): HttpServer {
  const { proxy, console } = config;
  return createProxyServer({
    ...useCases,
    redemptions: limits.redemptions,
    compat: console.compat_tokens ? { entrance, web: proxy.web } : undefined,
    listen: requireAddress(proxy.listen),
    tls: tls && { ...tls, minVersion: TLS_VERSIONS[console.ssl_minimum_version], ciphers: console.ssl_ciphers },
    runViewer: (viewer) => runViewer({ ...viewer, protocol: new SpiceViewer(viewer.channel.session), log }),
    webSockets: VIEWER_WEBSOCKETS,
    readiness,
    log,
    metrics,
    allowedOrigins: console.allowed_origins,
    frameAncestors: proxy.frame_ancestors,
    trustedProxies: proxy.trusted_proxies,
  });
}
