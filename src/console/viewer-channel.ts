// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import type { AgentRouter } from "../agents/agent-router.js";
import type { Display, Displays } from "../displays/display.js";
import type { InstanceRegistry } from "../instances/instance-registry.js";
import type { Clock } from "../lib/clock.js";
import { OPEN_DISPLAY_MS, WHY_ENDED_MS } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import { invalid } from "../lib/validate.js";
import { channelTypeName } from "../sessions/channel-type.js";
import { closingFor } from "../sessions/closing.js";
import type { LocalChannel } from "../sessions/local-channel.js";
import { MAIN_CHANNEL } from "../sessions/local-channel.js";
import type { ChannelEndReason, Closing, Session } from "../sessions/session.js";
import type { SessionRegistry } from "../sessions/session-registry.js";
import type { ControllerMetrics } from "../telemetry/controller-metrics.js";
import { knownOfSession } from "./viewer-refusals.js";
import type { ViewerRefusals } from "./viewer-refusals.js";
import type { ChannelLink, ViewerChannel, ViewerContext } from "./viewer.js";

/** What an open channel needs. */
export interface OpenViewerChannelOptions {
  readonly registry: Pick<SessionRegistry, "identify" | "hasMain" | "closed">;
  readonly instances: Pick<InstanceRegistry, "find">;
  readonly agents: Pick<AgentRouter, "isConnected">;
  readonly displays: Displays;
  /** Names of the SPICE channel types that are let in. */
  readonly channelTypes: ReadonlySet<string>;
  readonly refusals: ViewerRefusals;
  readonly metrics: Pick<ControllerMetrics, "firstByteSeconds">;
  readonly clock: Clock;
  readonly context: ViewerContext;
  /** When the viewer asked for the channel, by `clock`. */
  readonly askedAt: number;
}

/** Whoever may only look may also listen. What a viewer sends over the main channel the proxy sifts. */
const TYPES_TO_LOOK_AT: ReadonlySet<string> = new Set(["main", "display", "cursor", "playback"]);

/** A viewer's channel from the moment it was let in. */
export class OpenViewerChannel implements ViewerChannel {
  readonly #options: OpenViewerChannelOptions;
  readonly #channel: LocalChannel;
  #sawFirstByte = false;

  constructor(channel: LocalChannel, options: OpenViewerChannelOptions) {
    this.#channel = channel;
    this.#options = options;
  }

  get channelId(): bigint {
    return this.#channel.channelId;
  }

  get session(): Session {
    return this.#channel.session;
  }

  /** See ViewerChannel. */
  onClosing(listener: (closing: Closing) => void): void {
    this.#channel.onClosing(listener);
  }

  /** See ViewerChannel. What a viewer is told of a main channel is told only once its session is known to have one. */
  connect(link: ChannelLink): Promise<Duplex> {
    const { registry, refusals, context } = this.#options;
    return refusals.noting(knownOfSession(this.session), context, async () => {
      this.#check(link);
      const [display] = await Promise.all([this.#open(), registry.identify(this.#channel, link.type, link.number)]);
      if (!display.needsAgent) this.#channel.outlivesAgent();
      return display.stream;
    });
  }

  /** See ViewerChannel. */
  toMachine(bytes: number, input: boolean): void {
    this.#channel.toMachine(bytes, input);
  }

  /** See ViewerChannel. */
  toViewer(bytes: number): void {
    this.#channel.toViewer(bytes);
    if (this.#sawFirstByte) return;
    this.#sawFirstByte = true;
    const { metrics, clock, askedAt } = this.#options;
    metrics.firstByteSeconds.observe((clock.now() - askedAt) / 1_000);
  }

  /** See ViewerChannel. */
  whyDisplayEnded(): Promise<Closing> {
    // It may have been opened while the instance was about to leave.
    if (this.#hasMoved()) return Promise.resolve(closingFor("INSTANCE_MOVED"));
    const { clock, agents } = this.#options;
    return new Promise((resolve) => {
      const cancel = clock.after(WHY_ENDED_MS, () => {
        stop();
        const { host } = this.#channel;
        const lost = host !== undefined && !agents.isConnected(host);
        resolve(closingFor(lost ? "AGENT_GONE" : "DISPLAY_CLOSED"));
      });
      const stop = this.#channel.onClosing((closing) => {
        cancel();
        resolve(closing);
      });
    });
  }

  /** See ViewerChannel. */
  closed(reason: ChannelEndReason): void {
    this.#options.registry.closed(this.#channel, reason);
  }

  #hasMoved(): boolean {
    const host = this.#options.instances.find(this.session.instanceUuid)?.host;
    return host !== undefined && host !== this.#channel.host;
  }

  /** A client's first connection is its main channel; the number that the server gives it there opens the others. */
  #check({ connectionId, type }: ChannelLink): void {
    this.#requireType(type);
    if ((connectionId === 0) !== (type === MAIN_CHANNEL)) {
      throw invalid("channel_type", "must be main for a viewer's first channel, and for no other");
    }
    if (type === MAIN_CHANNEL) return;
    const { registry } = this.#options;
    if (this.#channel.hadMain || registry.hasMain(this.session.sessionId)) return;
    throw invalid("connection_id", "must be of a main channel that is open");
  }

  /** Only for a type that is on does anything reach the display. */
  #requireType(type: number): void {
    const name = channelTypeName(type);
    if (this.session.viewOnly && !TYPES_TO_LOOK_AT.has(name)) {
      const message = `channels of type ${name} are closed in a console that can only be looked at`;
      throw new ServiceError("CHANNEL_TYPE_REFUSED", message, { metadata: { channel_type: name } });
    }
    if (this.#options.channelTypes.has(name)) return;
    const metadata = { limit: "channel_types", channel_type: name };
    throw new ServiceError("CHANNEL_TYPE_REFUSED", `channels of type ${name} are switched off here`, { metadata });
  }

  async #open(): Promise<Display> {
    const { displays, context } = this.#options;
    const { host, session } = this.#channel;
    if (host === undefined)
      throw new ServiceError("INSTANCE_NOT_READY", "the instance has no host; wait until it is placed");
    const { requestId, signal } = context;
    const { instanceUuid } = session;
    return displays.open({ instanceUuid, host }, { ms: OPEN_DISPLAY_MS, requestId, signal });
  }
}
