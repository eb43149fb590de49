// SPDX-License-Identifier: Apache-2.0
import { PassThrough } from "node:stream";
import type { AgentLink } from "../../src/agents/agent-link.js";
import { AuditLog } from "../../src/audit/audit-log.js";
import { RefusalRecorder } from "../../src/audit/refusal-recorder.js";
import type { BeginSessionOptions } from "../../src/console/begin-session.js";
import { BeginSession } from "../../src/console/begin-session.js";
import { EnterByToken } from "../../src/console/enter-by-token.js";
import { IdleSessions } from "../../src/console/idle-sessions.js";
import { RedeemConsoleToken } from "../../src/console/redeem-console-token.js";
import { SessionEndings } from "../../src/console/session-endings.js";
import { ViewerDrain } from "../../src/console/viewer-drain.js";
import { ViewerRefusals } from "../../src/console/viewer-refusals.js";
import { ProvenSessions } from "../../src/console/viewer-sessions.js";
import type { OpenedSession, PresentedUrl, ViewerChannel, ViewerContext } from "../../src/console/viewer.js";
import type { LegacyTokens } from "../../src/consoleauth/console-auth.js";
import { NO_LEGACY_TOKENS } from "../../src/consoleauth/console-auth.js";
import type { Display, DisplayTarget } from "../../src/displays/display.js";
import type { InstanceRegistry } from "../../src/instances/instance-registry.js";
import type { Clock } from "../../src/lib/clock.js";
import { systemClock } from "../../src/lib/clock.js";
import { ServiceError } from "../../src/lib/service-error.js";
import type { Closing } from "../../src/sessions/session.js";
import { ControllerPlaces } from "../../src/sessions/controller-places.js";
import { NO_CALL_LIMITS } from "../../src/rpc/call-limits.js";
import { ChannelStore } from "../../src/sessions/channel-store.js";
import { SessionRegistry } from "../../src/sessions/session-registry.js";
import { SessionStore } from "../../src/sessions/session-store.js";
import { SessionBeginnings } from "../../src/sessions/session-beginnings.js";
import type { SessionRules } from "../../src/sessions/session-rules.js";
import { createControllerMetrics } from "../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../src/telemetry/metrics.js";
import { ConsoleTokenStore } from "../../src/tokens/console-token-store.js";
import { FakeLog } from "../fakes/fake-log.js";
import { registryOn } from "./inventory.js";
import { CONTROLLER, RULES } from "./stored-sessions.js";
import type { TestDatabase } from "./test-database.js";

const MAX_CHANNELS = 32;

/** What a test may choose. */
export interface ViewerPartsOptions {
  readonly legacy?: LegacyTokens;
  readonly controllerId?: string;
  readonly clock?: Clock;
  readonly rules?: Partial<SessionRules>;
  readonly maxPerController?: number;
  /** Names of the SPICE channel types that are let in; all that tests use if not given. */
  readonly channelTypes?: readonly string[];
  readonly graceMs?: number;
  /** How often sessions may begin; as often as tests like if not given. */
  readonly limit?: BeginSessionOptions["limit"];
}

/** Where the agents are, as far as viewers are concerned. */
class FakeAgents {
  readonly asked: unknown[] = [];
  readonly #gone = new Set<(host: string) => void>();
  connected = true;
  /** What the next question fails with. */
  failure: ServiceError | undefined;
  /** Runs while a question is under way. */
  onAsked: () => Promise<void> = () => Promise.resolve();

  require(host: string): AgentLink {
    if (!this.connected) throw new ServiceError("AGENT_UNAVAILABLE", `no agent of host ${host}`);
    const validateConsolePort: AgentLink["validateConsolePort"] = async (instanceUuid, { port, tlsPort }) => {
      this.asked.push({ host, instanceUuid, port, tlsPort });
      await this.onAsked();
      if (this.failure) throw this.failure;
    };
    return { validateConsolePort } as Partial<AgentLink> as AgentLink;
  }

  isConnected(): boolean {
    return this.connected;
  }

  onGone(listener: (host: string) => void): () => void {
    this.#gone.add(listener);
    return () => this.#gone.delete(listener);
  }

  lose(host: string): void {
    this.connected = false;
    for (const listener of this.#gone) listener(host);
  }
}

/** Everything of one controller that serves viewers, over a real Postgres; agents and displays are fakes. */
export class ViewerParts {
  readonly log = new FakeLog();
  readonly agents = new FakeAgents();
  readonly opened: DisplayTarget[] = [];
  /** Whether displays end with their host's agent. */
  displaysNeedAgent = true;
  readonly instances: InstanceRegistry;
  readonly registry: SessionRegistry;
  readonly sessions: SessionStore;
  readonly endings: SessionEndings;
  readonly recorder: RefusalRecorder;
  readonly drain: ViewerDrain;
  /** Not started. */
  readonly idle: IdleSessions;
  readonly redeeming: RedeemConsoleToken;
  readonly entering: EnterByToken;
  readonly viewers: ProvenSessions;
  readonly #metrics = createRegistry();

  constructor(
    db: TestDatabase,
    {
      controllerId = CONTROLLER,
      clock = systemClock,
      rules: some = {},
      maxPerController = 0,
      channelTypes = ["main", "display", "inputs", "cursor", "playback", "record"],
      graceMs = 0,
      legacy = NO_LEGACY_TOKENS,
      limit = NO_CALL_LIMITS.sessions,
    }: ViewerPartsOptions = {},
  ) {
    const { database } = db;
    const { log } = this.log;
    const metrics = createControllerMetrics(this.#metrics);
    this.instances = registryOn(database, { controllerId });
    const { instances, agents } = this;
    const rules = { ...RULES, ...some };
    const sessions = new SessionStore(database, rules);
    const channels = new ChannelStore({ database, controllerId, maxChannels: MAX_CHANNELS });
    const registry = new SessionRegistry({ channels, sessions, database, log, metrics, clock });
    const endings = new SessionEndings({ sessions, channels, registry, instances, agents, log, clock });
    const recorder = new RefusalRecorder({ audit: new AuditLog(database), database, log, clock });
    const refusals = new ViewerRefusals(recorder, metrics);
    const drain = new ViewerDrain(registry, graceMs);
    const tokens = new ConsoleTokenStore(database);
    const displays = {
      open: (target: DisplayTarget): Promise<Display> => {
        this.opened.push(target);
        return Promise.resolve({ stream: new PassThrough(), needsAgent: this.displaysNeedAgent });
      },
      requireReachable: () => undefined,
    };
    const places = new ControllerPlaces({ most: maxPerController, registry, clock });
    const beginnings = new SessionBeginnings(database, rules);
    const beginning = new BeginSession({ beginnings, places, endings, limit, log });
    const shared = { tokens, legacy, sessions, beginning, instances, agents, drain, refusals };
    this.redeeming = new RedeemConsoleToken(shared);
    this.viewers = new ProvenSessions({
      ...shared,
      registry,
      endings,
      displays,
      metrics,
      log,
      clock,
      maxChannels: MAX_CHANNELS,
      idleS: rules.idleS,
      channelTypes: new Set(channelTypes),
    });
    this.entering = new EnterByToken({ ...shared, viewers: this.viewers });
    this.idle = new IdleSessions({ endings, database, metrics, log, clock });
    this.sessions = sessions;
    this.registry = registry;
    this.endings = endings;
    this.recorder = recorder;
    this.drain = drain;
    endings.start();
  }

  /** What is known of a viewer's request. */
  context(more: Partial<ViewerContext> = {}): ViewerContext {
    return { requestId: "req-v", clientAddress: "192.0.2.9", signal: new AbortController().signal, ...more };
  }

  /** Opens a channel of a session; the way a proxy would, it notes what it is told and then closes it. */
  async channel({ session, proof }: Pick<OpenedSession, "session" | "proof">): Promise<TestChannel> {
    return new TestChannel(await this.viewers.openChannel(session.sessionId, proof, this.context()));
  }

  /** Opens a channel by a token alone. */
  async enter(token: string, url: Partial<PresentedUrl> = {}): Promise<TestChannel> {
    return new TestChannel(await this.entering.openChannel({ token, origin: undefined, ...url }, this.context()));
  }

  /** The value of a metric, all labels together or those given. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.#metrics.getSingleMetric(`spicegate_${name}`)?.get();
    const fits = (sample: Record<string, unknown>): boolean =>
      Object.entries(labels).every(([label, value]) => sample[label] === value);
    return (metric?.values ?? []).reduce((sum, sample) => sum + (fits(sample.labels) ? sample.value : 0), 0);
  }

  /** The audit lines of the log. */
  lines(): readonly Record<string, unknown>[] {
    return this.log.at("info").filter(({ msg }) => msg === "audit event");
  }

  async stop(): Promise<void> {
    await this.idle.stop();
    await this.endings.stop();
    await this.recorder.stop();
    await this.registry.stop();
  }
}

/** A channel in the hands of a proxy that closes it as soon as it is told. */
export class TestChannel {
  readonly channel: ViewerChannel;
  readonly told: Promise<Closing>;

  constructor(channel: ViewerChannel) {
    this.channel = channel;
    this.told = new Promise((resolve) => {
      channel.onClosing((closing) => {
        resolve(closing);
        channel.closed(closing.reason === "SESSION_ENDED" ? "ABANDONED" : (closing.reason as "TERMINATED"));
      });
    });
  }
}
