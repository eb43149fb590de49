// SPDX-License-Identifier: Apache-2.0
// The data path in short rounds that take turns, then what happens once: channels that are opened and kept.
import type { Progress } from "../../demo/progress.js";
import { rssMiB } from "./process-usage.js";
import { median } from "./statistics.js";
import type { ViewerRequest } from "./viewer-load.js";
import { ViewerLoad } from "./viewer-load.js";
import type { ViewerSurroundings, Way } from "./viewer-surroundings.js";

/** Bytes moved one way, one round after the other. */
export interface Transfer {
  readonly way: Way;
  readonly direction: "down" | "up";
  readonly channels: number;
  /** 10^6 bytes a second; the same place in two lists is a pair. */
  readonly rates: readonly number[];
}

/** What was found out about the data path. */
export interface DataPath {
  readonly transfers: readonly Transfer[];
  /** What controller and agent need for an open channel that is idle. */
  readonly kibPerChannel: number;
}

const ROUNDS = 5;
const ROUND_MS = 800;
/** Every way that can be measured. */
export const WAYS: readonly Way[] = ["tunnel", "direct", "two relays", "websockify"];
const HELD = { sessions: 100, channelsEach: 10 };

/** Measures these ways beside each other, and what open channels need. */
export async function measureDataPath(
  surroundings: ViewerSurroundings,
  progress: Progress,
  ways: readonly Way[] = WAYS,
): Promise<DataPath> {
  const load = new ViewerLoad();
  await load.start();
  try {
    const transfers = ways.flatMap((way) =>
      (["down", "up"] as const).flatMap((direction) =>
        [1, 8].map((channels) => ({ way, direction, channels, rates: [] as number[] })),
      ),
    );
    for (let round = 0; round <= ROUNDS; round += 1) {
      progress(round === 0 ? "warming up the data path" : `data path, round ${round} of ${ROUNDS}`);
      for (const transfer of round % 2 === 1 ? transfers : transfers.toReversed()) {
        const rate = await measureRate(surroundings, load, transfer);
        if (round > 0) transfer.rates.push(rate);
      }
    }
    progress(`opening ${HELD.sessions * HELD.channelsEach} channels`);
    return { transfers, kibPerChannel: await measureIdleChannels(surroundings, load) };
  } finally {
    await load.stop();
  }
}

/** The median of a transfer's rounds. */
export function rateOf({ rates }: Transfer): number {
  return median(rates);
}

/** The median over the rounds of one transfer's rate divided by another's. */
export function rateRatio(of: Transfer, to: Transfer): number {
  return median(of.rates.map((rate, index) => rate / (to.rates[index] ?? rate)));
}

async function measureRate(
  surroundings: ViewerSurroundings,
  load: ViewerLoad,
  { way, direction, channels }: Transfer,
): Promise<number> {
  const target = await surroundings.target(way);
  const request: ViewerRequest = { kind: "transfer", target, direction, channels, ms: ROUND_MS };
  const before = await surroundings.counts();
  const { received, elapsedMs } = await load.run(request);
  const after = await surroundings.counts();
  const bytes = direction === "down" ? received : after.received - before.received;
  return bytes / 1_000 / elapsedMs;
}

async function measureIdleChannels(surroundings: ViewerSurroundings, load: ViewerLoad): Promise<number> {
  const target = await surroundings.target("tunnel", HELD.sessions);
  const memory = (): number => surroundings.pids("tunnel").reduce((sum, pid) => sum + rssMiB(pid), 0);
  const before = memory();
  const { opened } = await load.run({ kind: "hold", target, channelsEach: HELD.channelsEach });
  return ((memory() - before) * 1024) / opened;
}
