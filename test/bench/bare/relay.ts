// SPDX-License-Identifier: Apache-2.0
// A bare TCP relay, a process: what carrying bytes through one program costs at least.
import { connect, createServer } from "node:net";
import { announceReady, childOptions } from "../bench-process.js";

/** Both on 127.0.0.1. */
export interface RelayOptions {
  readonly port: number;
  readonly targetPort: number;
}

const { port, targetPort } = childOptions() as RelayOptions;

const server = createServer({ noDelay: true }, (here) => {
  const there = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
  for (const [one, other] of [
    [here, there],
    [there, here],
  ] as const) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
    one.pipe(other);
  }
});
server.listen(port, "127.0.0.1", announceReady);
