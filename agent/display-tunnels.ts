// SPDX-License-Identifier: Apache-2.0
import type { OpenDisplay } from "../proto/gen/spicegate/agent/v1/agent.js";
import type { Clock } from "../src/lib/clock.js";
import type { Part } from "../src/lib/lifecycle.js";
import { MAX_TUNNELS_PER_AGENT } from "../src/lib/limits.js";
import { ServiceError } from "../src/lib/service-error.js";
import type { ControllerCredentials } from "./controller-credentials.js";
import type { TunnelTarget } from "./dial-tunnel.js";
import { dialTunnel, parseTunnelTarget } from "./dial-tunnel.js";
import type { Traffic } from "./display-tunnel.js";
import { DisplayTunnel } from "./display-tunnel.js";
import type { AskOptions } from "./hypervisor.js";
import type { Means, OpenedDisplay } from "./open-display.js";

/**
 * The displays that this agent carries to controllers. A tunnel lives as long as its own two connections: a control
 * stream that breaks leaves it alone. The stop closes all of them.
 */
export class DisplayTunnels implements Part {
  readonly #clock: Clock;
  readonly #credentials: ControllerCredentials;
  readonly #most: number;
  readonly #tunnels = new Set<DisplayTunnel>();
  readonly #opened: Record<Means, number> = { fd: 0, socket: 0, tcp: 0, tls: 0 };
  #ended: Traffic = { toController: 0, toDisplay: 0 };
  #stopped = false;

  constructor(clock: Clock, credentials: ControllerCredentials, most = MAX_TUNNELS_PER_AGENT) {
    this.#clock = clock;
    this.#credentials = credentials;
    this.#most = most;
  }

  start(): void {
    this.#stopped = false;
  }

  /** Closes every tunnel, and refuses new ones. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const tunnel of this.#tunnels) tunnel.destroy();
    await Promise.all([...this.#tunnels].map(({ closed }) => closed));
  }

  /** How many carry bytes now. */
  get open(): number {
    return this.#tunnels.size;
  }

  /** How many were opened so far, by the way to their display. */
  get opened(): Readonly<Record<Means, number>> {
    return this.#opened;
  }

  /** What all of them have carried so far. */
  get traffic(): Traffic {
    return [...this.#tunnels].reduce((sum, { traffic }) => add(sum, traffic), this.#ended);
  }

  /** Where a display is wanted. Throws INVALID_ARGUMENT, also where that may not be dialled. */
  target(request: OpenDisplay): TunnelTarget {
    return parseTunnelTarget(request, this.#credentials);
  }

  /**
   * Takes over an open display and carries it to a controller; returns when the tunnel stands. Throws TARGET_REFUSED,
   * LIMITED, DRAINING or CANCELLED, and has closed the display then.
   */
  async carry({ socket, means }: OpenedDisplay, target: TunnelTarget, options: AskOptions): Promise<void> {
    try {
      this.#requireRoom();
      const tunnel = await dialTunnel(target, this.#credentials, options);
      this.#join(new DisplayTunnel(socket, tunnel, this.#clock));
      this.#opened[means] += 1;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #requireRoom(): void {
    if (this.#stopped) throw new ServiceError("DRAINING", "the agent is stopping");
    if (this.#tunnels.size >= this.#most) {
      throw new ServiceError("LIMITED", `this host carries ${this.#most} displays already`);
    }
  }

  #join(tunnel: DisplayTunnel): void {
    this.#tunnels.add(tunnel);
    void tunnel.closed.then(() => {
      this.#tunnels.delete(tunnel);
      this.#ended = add(this.#ended, tunnel.traffic);
    });
    // It was dialled while the agent stopped.
    if (this.#stopped) tunnel.destroy();
  }
}

function add(one: Traffic, other: Traffic): Traffic {
  return { toController: one.toController + other.toController, toDisplay: one.toDisplay + other.toDisplay };
}
