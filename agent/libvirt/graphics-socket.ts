// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { withBigReads } from "../../src/lib/big-reads.js";
import { ServiceError } from "../../src/lib/service-error.js";
import { hypervisorUnavailable } from "./libvirt-failure.js";
import type { GraphicsAnswer } from "./messages.js";

/**
 * The display that a worker has opened, as a socket that owns the descriptor; undefined where this hypervisor cannot
 * hand one out. Throws INSTANCE_NOT_FOUND, INSTANCE_NOT_RUNNING or HYPERVISOR_UNAVAILABLE. Only in the main thread.
 */
export function socketFromGraphics(answer: GraphicsAnswer): Socket | undefined {
  if ("fd" in answer) {
    const options = { fd: answer.fd, readable: true, writable: true };
    return silenced(withBigReads((onread) => new Socket(Object.assign(options, { onread }))));
  }
  switch (answer.refusal) {
    case "no-domain":
      throw new ServiceError("INSTANCE_NOT_FOUND", "there is no such domain on this host");
    case "not-running":
      throw new ServiceError("INSTANCE_NOT_RUNNING", "the instance is not running");
    case "silent":
      throw hypervisorUnavailable("the hypervisor process of this domain is silent");
    case "unsupported":
      return undefined;
  }
}

/** Closes a descriptor that came when nobody waited for it any more. Only in the main thread: a worker's Node complains. */
export function closeUnclaimed(answer: GraphicsAnswer): void {
  if ("fd" in answer) closeSync(answer.fd);
}

/** Its end says all there is to know; an error without a listener would end the process. */
function silenced(socket: Socket): Socket {
  return socket.on("error", () => undefined);
}
