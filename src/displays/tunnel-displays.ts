// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { AgentLink } from "../agents/agent-link.js";
import type { AgentRouter } from "../agents/agent-router.js";
import { withDeadline } from "../lib/deadline.js";
import { ServiceError } from "../lib/service-error.js";
import type { Display, Displays, DisplayTarget, OpenDisplayOptions } from "./display.js";
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

  constructor(options: TunnelDisplaysOptions) {
    this.#options = options;
  }

  /** See Displays. */
  async open({ instanceUuid, host }: DisplayTarget, options: OpenDisplayOptions): Promise<Display> {
    const agent = this.#options.router.require(host);
    const { ms, requestId, signal } = options;
    const expired = (): ServiceError =>
      new ServiceError("AGENT_TIMEOUT", `the agent of host ${host} brought no display within ${ms} ms`);
    const tunnel = await withDeadline({ ms, expired, signal }, async (ended) => {
      const { address, secret, arrived } = this.#options.tunnels.expect({ host, ms, signal: ended });
      destroyIfAborted(arrived, ended);
      const target = { tunnelAddress: address, tunnelSecret: secret };
      const opened = agent.openDisplay(instanceUuid, target, { ms, requestId, signal: ended });
      const [socket] = await Promise.all([arrived, opened]);
      return socket;
    });
    endWithStream(tunnel, agent);
    return { stream: tunnel, needsAgent: true };
  }

  /** See Displays: an agent reaches them all. */
  requireReachable(): void {
    return;
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
