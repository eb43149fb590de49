// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { linkMessage } from "./spice-messages.js";
import { within } from "./within.js";

const MAGIC = "REDQ";

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
  socket.write(linkMessage({ type: 1 }));
  return within("the display's answer", answer);
}
