// SPDX-License-Identifier: Apache-2.0
import type { SecureContext } from "node:tls";
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";
import type { AgentRouter } from "../agents/agent-router.js";
import type { Clock } from "../lib/clock.js";
import type { Log } from "../lib/log.js";
import { ServiceError } from "../lib/service-error.js";
import type { DialTarget } from "./dial-display.js";
import { dialDisplay } from "./dial-display.js";
import type { Display, Displays, DisplayTarget, OpenDisplayOptions } from "./display.js";
import { listensOnNetwork } from "./network-display.js";

/** How displays are dialled. */
export interface DirectDisplaysOptions {
  readonly router: Pick<AgentRouter, "require">;
  /** Holds the authorities of displays with TLS. */
  readonly secureContext: SecureContext;
  /** Whether a display's plain port is left alone. */
  readonly requireTls: boolean;
  /** The subject that the certificate of a host's displays has; undefined: the certificate is for their address. */
  readonly subjectOf: (host: string) => string | undefined;
  readonly log: Log;
  readonly clock: Clock;
}

/**
 * Displays that this controller dials itself (data path `direct`), as Nova's proxies do: at the address and port that the
 * host's agent names anew each time. Once a connection stands the agent may go.
 */
export class DirectDisplays implements Displays {
  readonly #options: DirectDisplaysOptions;

  constructor(options: DirectDisplaysOptions) {
    this.#options = options;
  }

  /** See Displays. */
  async open({ instanceUuid, host }: DisplayTarget, options: OpenDisplayOptions): Promise<Display> {
    const { router, log, clock } = this.#options;
    const { ms, requestId, signal } = options;
    const startedAt = clock.now();
    const target = this.#targetOf(host, await router.require(host).getSpiceEndpoint(instanceUuid, options));
    try {
      const left = ms - (clock.now() - startedAt);
      return { stream: await dialDisplay(target, { ms: left, signal, clock }), needsAgent: false };
    } catch (error) {
      const { host: address, port } = target;
      log.warn({ err: error, host, address, port, instance: instanceUuid, requestId }, "a display was not reached");
      throw error;
    }
  }

  /** See Displays. */
  requireReachable(host: string, endpoint: SpiceEndpoint): void {
    this.#targetOf(host, endpoint);
  }

  /** The plain port where there is one, as in Nova, unless TLS is asked for. */
  #targetOf(agentHost: string, endpoint: SpiceEndpoint): DialTarget {
    const { requireTls, secureContext, subjectOf } = this.#options;
    const { host, port, tlsPort, internalAccessPath: accessPath } = endpoint;
    if (!listensOnNetwork(endpoint)) {
      throw unreachable("the display listens on no network, where alone this host's displays are opened");
    }
    if (port > 0 && !requireTls) return { host, port, tls: undefined, accessPath };
    if (tlsPort === 0) throw unreachable("the display has no TLS port, and displays are opened by no other");
    return { host, port: tlsPort, tls: { secureContext, subject: subjectOf(agentHost) }, accessPath };
  }
}

function unreachable(message: string): ServiceError {
  return new ServiceError("NO_NETWORK_DISPLAY", message);
}
