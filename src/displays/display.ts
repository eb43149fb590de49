// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import type { SpiceEndpoint } from "../../proto/gen/spicegate/agent/v1/agent.js";

/** Whose display to open. */
export interface DisplayTarget {
  readonly instanceUuid: string;
  /** The host it is on. */
  readonly host: string;
}

/** What opening may take. */
export interface OpenDisplayOptions {
  /** Milliseconds until AGENT_TIMEOUT or TARGET_REFUSED. */
  readonly ms: number;
  /** Repeated in the agent's log. */
  readonly requestId: string;
  /** Gives up; a display that still opens is closed. */
  readonly signal: AbortSignal;
}

/** An open display. */
export interface Display {
  /**
   * Carries the display's bytes both ways and knows no protocol: a SPICE client speaks first, a VNC server does, so bytes
   * of the display that come before anybody reads are kept (and held back at the source), not lost. The end of one side is
   * the end of both: SPICE has no half-close. It has an error listener already; `close` always follows.
   */
  readonly stream: Duplex;
  /** Whether it ends when the host's agent is gone. */
  readonly needsAgent: boolean;
}

/** The way to displays, whichever it is; nothing above knows. */
export interface Displays {
  /**
   * Opens a display: one connection, for one channel. Throws what the agent says, AGENT_UNAVAILABLE, AGENT_TIMEOUT,
   * TARGET_REFUSED, NO_NETWORK_DISPLAY, LIMITED or CANCELLED.
   */
  open(target: DisplayTarget, options: OpenDisplayOptions): Promise<Display>;
  /** Throws NO_NETWORK_DISPLAY where `open` would, for a display of this host that is where its agent says. */
  requireReachable(host: string, endpoint: SpiceEndpoint): void;
}
