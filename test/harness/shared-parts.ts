// SPDX-License-Identifier: Apache-2.0
// What test files share (a Postgres, a libvirtd, a browser) is started by the first that needs it and lives as long as
// the run of mocha. With --parallel the files are spread over worker processes, each with shared parts of its own, and
// mocha does not tell them of the run's end: the main process removes what its workers leave behind.
import { sweepRunFolders } from "../../demo/run-folder.js";

const stops: (() => Promise<void>)[] = [];

/** Calls `stop` after the last test of the run, where the files run in mocha's own process. */
export function stopAtEnd(stop: () => Promise<void>): void {
  stops.push(stop);
}

/**
 * Mocha calls this after the last test, in its main process and when its workers have left, since .mocharc.json names
 * this file.
 */
export async function mochaGlobalTeardown(): Promise<void> {
  await Promise.all(stops.map((stop) => stop()));
  await sweepRunFolders();
}
