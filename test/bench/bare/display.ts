// SPDX-License-Identifier: Apache-2.0
// A display, a process, for the data path: it takes anything for a link message and does as the channel type says.
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { announceReady, childOptions } from "../bench-process.js";
import { SPICE_CHANNEL } from "../../harness/spice-wire.js";
import { LINK_BYTES } from "../../fakes/fake-display.js";

/** What it is started with. */
export interface DisplayOptions {
  readonly port: number;
}

/** What has passed on all its channels so far, link messages apart. */
export interface DisplayCounts {
  readonly sent: number;
  readonly received: number;
}

const TYPE_AT = 20;
const CHUNK = Buffer.alloc(256 * 1024, 1);
const { port } = childOptions() as DisplayOptions;
let sent = 0;
let received = 0;

/** Display channels flood, inputs channels swallow, the others say one byte and are silent. */
function serve(socket: Socket, type: number): void {
  if (type === SPICE_CHANNEL.display) return flood(socket);
  socket.on("data", (chunk: Buffer) => (received += chunk.length));
  if (type !== SPICE_CHANNEL.inputs) socket.write(CHUNK.subarray(0, 1));
}

function flood(socket: Socket): void {
  const fill = (): void => {
    do sent += CHUNK.length;
    while (socket.write(CHUNK));
  };
  socket.on("drain", fill).resume();
  fill();
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  let link = Buffer.alloc(0);
  const onLink = (chunk: Buffer): void => {
    link = Buffer.concat([link, chunk]);
    if (link.length < LINK_BYTES) return;
    socket.off("data", onLink);
    received += link.length - LINK_BYTES;
    serve(socket, link.readUInt8(TYPE_AT));
  };
  socket.on("data", onLink);
});
process.on("message", () => process.send?.({ sent, received } satisfies DisplayCounts));
server.listen(port, "127.0.0.1", 4_096, announceReady);
