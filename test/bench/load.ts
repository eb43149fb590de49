// SPDX-License-Identifier: Apache-2.0
import { BenchProcess } from "./bench-process.js";

/** What a load process does again and again. */
export type LoadTarget =
  /** GetSpiceConsole, of the instances in turn; `expect` is the reason where a refusal is wanted. */
  | { readonly kind: "console"; readonly address: string; readonly uuids: readonly string[]; readonly expect?: string }
  /** Lookup and XML of a domain. */
  | { readonly kind: "libvirt"; readonly uri: string; readonly uuid: string }
  /** One row into the table of tokens. */
  | { readonly kind: "insert"; readonly url: string; readonly uuid: string };

/** How long, and how many at once. */
export interface LoadRequest {
  readonly callers: number;
  readonly ms: number;
}

/** What came of it. Times are in milliseconds. */
export interface LoadResult {
  readonly count: number;
  /** What went wrong first; empty where nothing did. */
  readonly failure: string;
  readonly elapsedMs: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** A load generator, which is a process of its own so that its work is not counted as anybody else's. */
export class Load extends BenchProcess<LoadTarget> {
  constructor(target: LoadTarget) {
    super("./load-process.js", target);
  }

  /** Applies load for a while. Throws where anything failed, since the figures would then mean nothing. */
  async run(request: LoadRequest): Promise<LoadResult> {
    const result = (await this.ask(request)) as LoadResult;
    if (result.failure !== "") throw new Error(`a call failed under load: ${result.failure}`);
    if (result.count === 0) throw new Error("no call was answered");
    return result;
  }
}
