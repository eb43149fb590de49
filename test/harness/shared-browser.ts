// SPDX-License-Identifier: Apache-2.0
import type { Browser } from "playwright-core";
import { launchBrowser } from "./browser.js";

// One browser for the whole run of mocha, started by the first test that needs it.

let shared: Promise<Browser> | undefined;

/** The browser of the tests. */
export function sharedBrowser(): Promise<Browser> {
  shared ??= launchBrowser();
  return shared;
}

// Mocha runs this after the last test of the last file.
after("stop the browser of the tests", async function () {
  this.timeout(20_000);
  const started = await shared;
  await started?.close();
});
