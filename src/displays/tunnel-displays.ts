// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { AgentLink } from "../agents/agent-link.js";
import type { AgentRouter } from "../agents/agent-router.js";
import { withDeadline } from "../lib/deadline.js";
import { MAX_OPENING_PER_INSTANCE } from "../lib/limits.js";
import { ServiceError } from "../lib/service-error.js";
import type { Displays, DisplayTarget, OpenDisplayOptions } from "./display.js";
import type { TunnelListener } from "./tunnel-listener.js";

/** What tunnels are made of. */
export interface TunnelDisplaysOptions {
  readonly router: Pick<AgentRouter, "require">;
  readonly tunnels: Pick<TunnelListener, "expect">;
}

/**
 * Displays that the agent of their host opens and brings through a tunnel (data path `agent`): no host needs a port that
 * listens. A tunnel lives no longer than the control stream it was asked for on: a host that vanished says no goodbye.
 */
export class TunnelDisplays implements Displays {
  readonly #options: TunnelDisplaysOptions;
  /** How many displays of each instance are being opened. */
  readonly #opening = new Map<string, number>();

  constructor(options: TunnelDisplaysOptions) {
    this.#options = options;
  }

  /** See Displays. Throws LIMITED, too, where a machine is slower to open its display than viewers come. */
  async open(target: DisplayTarget, options: OpenDisplayOptions): Promise<Socket> {
    const { instanceUuid } = target;
    const before = this.#opening.get(instanceUuid) ?? 0;
    if (before >= MAX_OPENING_PER_INSTANCE) {
      throw new ServiceError("LIMITED", "too many displays of the instance are being opened; try again");
    }
    this.#opening.set(instanceUuid, before + 1);
    try {
      return await this.#open(target, options);
    } finally {
      this.#doneWith(instanceUuid);
    }
  }

  #doneWith(instanceUuid: string): void {
    const left = (this.#opening.get(instanceUuid) ?? 0) - 1;
    if (left > 0) this.#opening.set(instanceUuid, left);
    else this.#opening.delete(instanceUuid);
  }

  async #open({ instanceUuid, host }: DisplayTarget, options: OpenDisplayOptions): Promise<Socket> {
    const agent = this.#options.router.require(host);
    const { ms, requestId, signal } = options;
    const expired = (): ServiceError =>
      new ServiceError("AGENT_TIMEOUT", `the agent of host ${host} brought no display within ${ms} ms`);
    const tunnel = await withDeadline({ ms, expired, signal }, async (ended) => {
      const { address, secret, arrived } = this.#options.tunnels.expect({ ms, signal: ended });
      destroyIfAborted(arrived, ended);
      const target = { tunnelAddress: address, tunnelSecret: secret };
      const opened = agent.openDisplay(instanceUuid, target, { ms, requestId, signal: ended });
      const [socket] = await Promise.all([arrived, opened]);
      return socket;
    });
    endWithStream(tunnel, agent);
    return tunnel;
  }
}

/** A tunnel may have arrived when the agent fails, or nobody waits any more. */
function destroyIfAborted(arrived: Promise<Socket>, signal: AbortSignal): void {
  arrived.then(
    (socket) => {
      if (signal.aborted) socket.destroy();
      else signal.addEventListener("abort", () => socket.destroy(), { once: true });
    },
    // Whoever waits for it hears of it.
    () => undefined,
  );
}

function endWithStream(tunnel: Socket, agent: AgentLink): void {
  const forget = agent.onClosed(() => tunnel.destroy());
  tunnel.once("close", forget);
}
