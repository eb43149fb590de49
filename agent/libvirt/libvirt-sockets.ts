// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readlinkSync } from "node:fs";
import type { Clock } from "../../src/lib/clock.js";
import { pause } from "../../src/lib/deadline.js";
import { LIBVIRT_FREE_INTERVAL_MS, LIBVIRT_FREE_MS } from "../../src/lib/limits.js";
import { loadLibc } from "./native.js";

const SHUT_RDWR = 2;
const AF_UNIX = 1;
const ADDRESS_BYTES = 110;
const FAMILY_BYTES = 2;

/**
 * Knows which of the process' sockets belong to which worker's libvirt connection, because shutting a socket is the
 * only way to free a worker that waits inside libvirt for an answer that does not come. A socket is known by its inode,
 * since descriptor numbers are used again at once. Connections are opened one at a time: a socket that nobody owns
 * belongs to the one that is being opened.
 */
export class LibvirtSockets {
  readonly #clock: Clock;
  readonly #isLibvirts: (path: string) => boolean;
  readonly #owned = new Map<object, readonly string[]>();
  #opening: object | undefined;

  /** The uri's `socket` parameter, or libvirt's habit of ending names with "-sock", tells libvirt's sockets from others. */
  constructor(uri: string, clock: Clock) {
    this.#clock = clock;
    const socket = /[?&]socket=([^&]+)/.exec(uri)?.[1];
    const named = socket === undefined ? undefined : decodeURIComponent(socket);
    this.#isLibvirts = (path) => (named === undefined ? path.endsWith("-sock") : path === named);
  }

  /** Says that `owner` opens its connection now; nobody else may until it has called `opened`. */
  opening(owner: object): void {
    this.#opening = owner;
  }

  /** Says that `owner` is done with opening, well or not, and takes down which sockets are its own. */
  opened(owner: object): void {
    this.#owned.set(owner, this.#unowned(owner));
    this.#opening = undefined;
  }

  /** Forgets an owner that has closed its connection. */
  forget(owner: object): void {
    this.#owned.delete(owner);
    if (this.#opening === owner) this.#opening = undefined;
  }

  /** Shuts the owner's sockets: whatever it waits for in libvirt fails now. Harmless without any. */
  cut(owner: object): void {
    const mine = new Set(this.#opening === owner ? this.#unowned(owner) : this.#owned.get(owner));
    for (const [inode, fd] of this.#scan()) if (mine.has(inode)) loadLibc().shutdown(fd, SHUT_RDWR);
  }

  /**
   * Cuts until the worker has `answered`, since what it does next in libvirt (closing, opening) can block as well.
   * Returns false where it stays silent for LIBVIRT_FREE_MS.
   */
  async free(owner: object, answered: Promise<unknown>): Promise<boolean> {
    const done = answered.then(() => true);
    for (let left = LIBVIRT_FREE_MS; left > 0; left -= LIBVIRT_FREE_INTERVAL_MS) {
      this.cut(owner);
      const waited = pause(LIBVIRT_FREE_INTERVAL_MS, undefined, this.#clock).then(() => false);
      if (await Promise.race([done, waited])) return true;
    }
    return false;
  }

  /** Shuts all of them, for a process that is about to end. */
  cutAll(): void {
    for (const fd of this.#scan().values()) loadLibc().shutdown(fd, SHUT_RDWR);
  }

  #unowned(owner: object): string[] {
    const others = new Set([...this.#owned].flatMap(([other, inodes]) => (other === owner ? [] : inodes)));
    return [...this.#scan().keys()].filter((inode) => !others.has(inode));
  }

  /** Every socket of this process that leads to libvirt, by inode. */
  #scan(): Map<string, number> {
    const found = new Map<string, number>();
    for (const name of readdirSync("/proc/self/fd")) {
      const path = peerPath(Number(name));
      if (path !== undefined && this.#isLibvirts(path)) found.set(inodeOf(name), Number(name));
    }
    return found;
  }
}

/** The path of the unix socket at the other end, or undefined. */
function peerPath(fd: number): string | undefined {
  const address = Buffer.alloc(ADDRESS_BYTES);
  const length = [ADDRESS_BYTES];
  if (loadLibc().getpeername(fd, address, length) !== 0) return undefined;
  if (address.readUInt16LE(0) !== AF_UNIX) return undefined;
  const path = address.toString("utf8", FAMILY_BYTES, length[0]);
  const end = path.indexOf("\0");
  return end === -1 ? path : path.slice(0, end);
}

/** The descriptor's inode, as "socket:[12345]"; empty where it was closed meanwhile. */
function inodeOf(name: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${name}`);
  } catch {
    return "";
  }
}
