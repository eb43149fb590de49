// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { within } from "./within.js";

const MAGIC = "REDQ";
const HEADER_BYTES = 16;
const MESSAGE_BYTES = 18;
const MAIN_CHANNEL = 1;

/** What a SPICE client says first on its main channel, without any capabilities. */
export function spiceLinkMessage(): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + MESSAGE_BYTES);
  bytes.write(MAGIC);
  bytes.writeUInt32LE(2, 4);
  bytes.writeUInt32LE(2, 8);
  bytes.writeUInt32LE(MESSAGE_BYTES, 12);
  bytes.writeUInt8(MAIN_CHANNEL, HEADER_BYTES + 4);
  bytes.writeUInt32LE(MESSAGE_BYTES, HEADER_BYTES + 14);
  return bytes;
}

/** Greets a SPICE server and returns the first four bytes of its answer, which are "REDQ" from a real one. */
export async function greetSpice(socket: Socket): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    let seen = "";
    socket.on("data", (chunk: Buffer) => {
      seen += chunk.toString("latin1");
      if (seen.length >= MAGIC.length) resolve(seen.slice(0, MAGIC.length));
    });
    socket.once("close", () => reject(new Error(`the display ended after ${seen.length} bytes`)));
  });
  socket.write(spiceLinkMessage());
  return within("the display's answer", answer);
}
