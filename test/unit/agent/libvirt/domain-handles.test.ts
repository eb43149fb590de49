// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { LibvirtError } from "../../../../agent/libvirt/connection.js";
import { DomainHandles } from "../../../../agent/libvirt/domain-handles.js";
import type { Libvirt, Pointer } from "../../../../agent/libvirt/native.js";
import { MAX_DOMAINS_PER_HOST } from "../../../../src/lib/limits.js";

const CONNECTION: Pointer = 1n;

/** libvirt's lookup and free, counted. Every uuid but "gone" exists. */
class CountingLibvirt {
  readonly lookedUp: string[] = [];
  readonly held = new Set<Pointer>();
  #last = 1n;

  get libvirt(): Libvirt {
    const functions: Partial<Libvirt> = {
      domainLookupByUuidString: (_connection, uuid) => this.#lookUp(uuid),
      domainFree: (handle) => (this.held.delete(handle) ? 0 : -1),
      getLastErrorCode: () => 42,
      getLastErrorDomain: () => 10,
      getLastErrorMessage: () => "Domain not found",
    };
    return functions as Libvirt;
  }

  #lookUp(uuid: string): Pointer {
    this.lookedUp.push(uuid);
    if (uuid === "gone") return null;
    this.#last += 1n;
    this.held.add(this.#last);
    return this.#last;
  }
}

describe("DomainHandles", () => {
  let counting: CountingLibvirt;
  let handles: DomainHandles;

  beforeEach(() => {
    counting = new CountingLibvirt();
    handles = new DomainHandles(counting.libvirt, CONNECTION);
  });

  it("looks a domain up once", () => {
    expect(handles.find("a")).to.equal(handles.find("a"));
    expect(counting.lookedUp).to.deep.equal(["a"]);
  });

  it("looks a forgotten domain up again, and frees what it had of it once", () => {
    handles.find("a");
    handles.forget("a");
    handles.forget("a");
    expect(counting.held.size).to.equal(0);
    handles.find("a");
    expect(counting.lookedUp).to.deep.equal(["a", "a"]);
  });

  it("keeps nothing of a domain that does not exist", () => {
    for (let time = 0; time < 2; time += 1) expect(() => handles.find("gone")).to.throw(LibvirtError);
    expect(counting.lookedUp).to.deep.equal(["gone", "gone"]);
  });

  it("frees everything before its connection closes", () => {
    handles.find("a");
    handles.find("b");
    handles.clear();
    handles.clear();
    expect(counting.held.size).to.equal(0);
  });

  it("holds no more than a host may have", () => {
    for (let number = 0; number <= MAX_DOMAINS_PER_HOST; number += 1) handles.find(String(number));
    expect(counting.held.size).to.be.at.most(MAX_DOMAINS_PER_HOST);
    expect(counting.held).to.include(handles.find(String(MAX_DOMAINS_PER_HOST)));
  });
});
