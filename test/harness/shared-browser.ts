// SPDX-License-Identifier: Apache-2.0
import type { Browser } from "playwright-core";
import { launchBrowser } from "./browser.js";
import { stopAtEnd } from "./shared-parts.js";

// One browser for each process of a run, started by the first test that needs it. It ends with its process.

let shared: Promise<Browser> | undefined;

/** The browser of the tests. */
export function sharedBrowser(): Promise<Browser> {
  shared ??= start();
  return shared;
}

async function start(): Promise<Browser> {
  const browser = await launchBrowser();
  stopAtEnd(() => browser.close());
  return browser;
}
