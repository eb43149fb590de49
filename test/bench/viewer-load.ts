// SPDX-License-Identifier: Apache-2.0
import { BenchProcess } from "./bench-process.js";

/** Where channels are opened. */
export type ViewerTarget =
  /** Straight to TCP ports, one after the other. */
  | { readonly kind: "tcp"; readonly ports: readonly number[] }
  /** To a WebSocket that leads to a display. */
  | { readonly kind: "websocket"; readonly url: string }
  /** Through the product: a session of its own for every token, one after the other. */
  | { readonly kind: "session"; readonly proxy: string; readonly tokens: readonly string[] };

/** What to do with them. */
export type ViewerRequest =
  /** Moves bytes for a while over so many channels at once. */
  | {
      readonly kind: "transfer";
      readonly target: ViewerTarget;
      readonly direction: "down" | "up";
      readonly channels: number;
      readonly ms: number;
    }
  /** Opens main channels, each until its first byte: `count` of them, so many at once. */
  | { readonly kind: "open"; readonly target: ViewerTarget; readonly count: number; readonly atOnce: number }
  /** Opens channels and keeps them: the first of each session is main. */
  | { readonly kind: "hold"; readonly target: ViewerTarget; readonly channelsEach: number };

/** What came of it; what was not asked for is 0. */
export interface ViewerResult {
  /** What went wrong first; empty where nothing did. */
  readonly failure: string;
  readonly elapsedMs: number;
  /** Bytes that arrived here; what goes up is counted by the display. */
  readonly received: number;
  /** How many channels were opened. */
  readonly opened: number;
  /** From the first request to the first byte, in milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

/** A viewer that is a process of its own, so that its work is not counted as anybody else's. */
export class ViewerLoad extends BenchProcess<object> {
  constructor() {
    super("./viewer-load-process.js", {});
  }

  /** Does it once. Throws where anything failed, since the figures would then mean nothing. */
  async run(request: ViewerRequest): Promise<ViewerResult> {
    const result = (await this.ask(request)) as ViewerResult;
    if (result.failure !== "") throw new Error(`a viewer failed: ${result.failure}`);
    return result;
  }
}
