// SPDX-License-Identifier: Apache-2.0
// From a console URL to the first byte of a real SPICE server, and to the first pixels in a real browser.
import { credentials } from "@grpc/grpc-js";
import { requestConsoles } from "../../demo/console-request.js";
import type { Progress } from "../../demo/progress.js";
import { ConsoleServiceClient } from "../../proto/gen/spicegate/console/v1/console.js";
import { ConsolePage, launchBrowser, newProfile } from "../harness/browser.js";
import { callUnary } from "../harness/grpc-client.js";
import { median } from "./statistics.js";
import type { Surroundings } from "./surroundings.js";
import type { ViewerResult } from "./viewer-load.js";
import { ViewerLoad } from "./viewer-load.js";
import { tokenOf } from "../harness/viewer.js";

/** What was found out; times in milliseconds. */
export interface FirstByte {
  /** Through the product, from the redemption on, one after the other. */
  readonly p50: number;
  readonly p95: number;
  /** The SPICE server alone, straight to its port. */
  readonly serverP50: number;
  /** Redeemed and connected a second, eight at once. */
  readonly connectsPerSecond: number;
  /** The SPICE servers alone, straight to their ports, eight at once: what is left when nothing of ours is there. */
  readonly serverPerSecond: number;
  /** From opening the URL in Chromium to the first pixels; the browser runs already. */
  readonly firstPixelsMs: number;
}

const OPENED = 60;
const AT_ONCE = 8;
const OPENED_AT_ONCE = 240;
const PAGES = 5;

/** Measures with the machines and the product of the consoles. */
export async function measureFirstByte(surroundings: Surroundings, progress: Progress): Promise<FirstByte> {
  const { addresses, proxy, uuids } = surroundings;
  const urls = (count: number): Promise<string[]> =>
    requestConsoles(
      { grpc: addresses.product, ca: null, token: "" },
      Array.from({ length: count }, (_, index) => uuids[index % uuids.length] ?? ""),
    );
  const session = async (count: number): Promise<{ kind: "session"; proxy: string; tokens: string[] }> => ({
    kind: "session",
    proxy,
    tokens: (await urls(count)).map(tokenOf),
  });
  const load = new ViewerLoad();
  await load.start();
  try {
    progress("opening consoles, one after the other and many at once");
    await load.run({ kind: "open", target: await session(OPENED), count: OPENED, atOnce: AT_ONCE });
    const one = await load.run({ kind: "open", target: await session(OPENED), count: OPENED, atOnce: 1 });
    const ports = await Promise.all((await urls(uuids.length)).map((url) => portOf(addresses.product, url)));
    const alone = { kind: "open", target: { kind: "tcp", ports } } as const;
    const server = await load.run({ ...alone, count: OPENED, atOnce: 1 });
    const serverMany = await load.run({ ...alone, count: OPENED_AT_ONCE, atOnce: AT_ONCE });
    const target = await session(OPENED_AT_ONCE);
    const many = await load.run({ kind: "open", target, count: OPENED_AT_ONCE, atOnce: AT_ONCE });
    progress("opening consoles in Chromium");
    return {
      p50: one.p50,
      p95: one.p95,
      serverP50: server.p50,
      connectsPerSecond: perSecond(many),
      serverPerSecond: perSecond(serverMany),
      firstPixelsMs: await firstPixels(await urls(PAGES + 1)),
    };
  } finally {
    await load.stop();
  }
}

function perSecond({ opened, elapsedMs }: ViewerResult): number {
  return (opened * 1_000) / elapsedMs;
}

/** The port of the display behind a console URL. */
async function portOf(api: string, url: string): Promise<number> {
  const client = new ConsoleServiceClient(api, credentials.createInsecure());
  const result = await callUnary(client.lookupConsoleToken.bind(client), { token: tokenOf(url) });
  client.close();
  if (!result.ok) throw new Error(result.failure.message);
  return result.response.port;
}

async function firstPixels(urls: readonly string[]): Promise<number> {
  const took: number[] = [];
  const browser = await launchBrowser();
  const profile = await newProfile(browser);
  for (const url of urls) {
    const console = await ConsolePage.open(profile);
    const from = performance.now();
    await console.page.goto(url, { waitUntil: "commit" });
    await console.lights(1);
    took.push(performance.now() - from);
    await console.close();
  }
  await browser.close();
  // The first one fills the browser's caches and compiles.
  return median(took.slice(1));
}
