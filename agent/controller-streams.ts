// SPDX-License-Identifier: Apache-2.0
import type { Part } from "../src/lib/lifecycle.js";
import type { Readiness } from "../src/telemetry/readiness.js";
import type { SessionContext } from "./control-session.js";
import type { StreamState } from "./controller-stream.js";
import { ControllerStream } from "./controller-stream.js";

/** What the streams to all controllers need. */
export interface ControllerStreamsOptions {
  /** host:port of each controller. */
  readonly addresses: readonly string[];
  readonly context: SessionContext;
  /** Its condition "controller" holds while at least one stream is open. */
  readonly readiness: Readiness;
}

const STATES: readonly StreamState[] = ["idle", "connecting", "greeting", "open", "draining", "waiting", "stopped"];

/** One stream to each controller, and what is known of all of them together. */
export class ControllerStreams implements Part {
  readonly #options: ControllerStreamsOptions;
  readonly #streams: readonly ControllerStream[];

  constructor(options: ControllerStreamsOptions) {
    this.#options = options;
    const { addresses, context } = options;
    this.#streams = addresses.map(
      (address) => new ControllerStream({ address, context, onState: () => this.#onState() }),
    );
  }

  start(): void {
    for (const stream of this.#streams) stream.start();
  }

  /** Leaves every controller in an orderly way, all at once. */
  async stop(): Promise<void> {
    await Promise.all(this.#streams.map((stream) => stream.stop()));
  }

  #onState(): void {
    const { context, readiness } = this.#options;
    const count = (state: StreamState): number => this.#streams.filter((stream) => stream.state === state).length;
    for (const state of STATES) context.metrics.streams.set({ state }, count(state));
    readiness.set("controller", count("open") > 0, "no controller is connected");
  }
}
