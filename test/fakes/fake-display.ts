// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes of a link message as test/harness/spice-wire.ts sends it. */
export const LINK_BYTES = 38;

/** A machine that exists only for libvirt's test driver. */
export interface FakeMachine {
  readonly uuid: string;
  readonly name: string;
}

/**
 * A display that does what no QEMU does on demand: thousands of channels, floods, silence. It is a TCP server that takes
 * anything for a link; a libvirt of its own (the test driver) names its port as that of every machine it has, so that a
 * real agent finds it. Each channel is given to the test after its link message.
 */
export class FakeDisplay {
  readonly #folder = mkdtempSync(join(tmpdir(), "fake-display-"));
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(onChannel: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => this.#sockets.delete(socket));
      let missing = LINK_BYTES;
      const onLink = (chunk: Buffer): void => {
        missing -= chunk.length;
        if (missing > 0) return;
        socket.off("data", onLink);
        if (missing < 0) socket.unshift(chunk.subarray(missing));
        onChannel(socket);
      };
      socket.on("data", onLink);
    });
  }

  /** Listens; `onChannel` gets each channel's socket, without any listener for its data. */
  static async start(onChannel: (socket: Socket) => void): Promise<FakeDisplay> {
    const display = new FakeDisplay(onChannel);
    await new Promise<void>((resolve) => display.#server.listen(0, "127.0.0.1", 4_096, resolve));
    return display;
  }

  /** The libvirt URI of a host with these machines, all running, all with this display. */
  libvirtUri(machines: readonly FakeMachine[]): string {
    const address = this.#server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    return writeTestHost(join(this.#folder, "host.xml"), port, machines);
  }

  /** How many channels are open. */
  get channels(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#folder, { recursive: true });
  }
}

/** Writes a host for libvirt's test driver whose machines all show the display on this port, and returns its URI. */
export function writeTestHost(file: string, port: number, machines: readonly FakeMachine[]): string {
  const domains = machines.map(
    ({ uuid, name }) => `<domain type="test"><name>${name}</name><uuid>${uuid}</uuid><memory>1024</memory>
      <os><type>hvm</type></os><devices><graphics type="spice" port="${port}" autoport="no" listen="127.0.0.1">
      <listen type="address" address="127.0.0.1"/></graphics></devices></domain>`,
  );
  writeFileSync(file, `<node>${domains.join("\n")}</node>`);
  return `test://${file}`;
}
