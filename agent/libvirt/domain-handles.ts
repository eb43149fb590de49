// SPDX-License-Identifier: Apache-2.0
import { MAX_DOMAINS_PER_HOST } from "../../src/lib/limits.js";
import { nonNull } from "./connection.js";
import type { Libvirt, Pointer } from "./native.js";

/**
 * The domains of one connection that were asked about before. To libvirtd a domain is its uuid, looked up anew at every
 * call, so a handle stays good through restarts, renames, even a new definition; whether the domain still exists is
 * what the next call with it says. Looking up once saves a round trip for each question after the first.
 */
export class DomainHandles {
  readonly #libvirt: Libvirt;
  readonly #connection: Pointer;
  readonly #handles = new Map<string, Pointer>();

  constructor(libvirt: Libvirt, connection: Pointer) {
    this.#libvirt = libvirt;
    this.#connection = connection;
  }

  /** The domain's handle, which stays ours. Throws LibvirtError where there is no such domain at the first time. */
  find(uuid: string): Pointer {
    const known = this.#handles.get(uuid);
    if (known !== undefined) return known;
    const handle = nonNull(this.#libvirt, this.#libvirt.domainLookupByUuidString(this.#connection, uuid));
    if (this.#handles.size >= MAX_DOMAINS_PER_HOST) this.clear();
    this.#handles.set(uuid, handle);
    return handle;
  }

  /** Frees the handle of a domain that is gone. */
  forget(uuid: string): void {
    const handle = this.#handles.get(uuid);
    if (handle !== undefined) this.#libvirt.domainFree(handle);
    this.#handles.delete(uuid);
  }

  /** Frees all of them; before the connection is closed, since each keeps it open. */
  clear(): void {
    for (const handle of this.#handles.values()) this.#libvirt.domainFree(handle);
    this.#handles.clear();
  }
}
