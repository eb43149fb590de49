// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DomainDescription, DomainState } from "../../../../agent/hypervisor.js";
import { RunningDomains } from "../../../../agent/libvirt/running-domains.js";
import { MAX_DOMAINS_PER_HOST } from "../../../../src/lib/limits.js";

const domain = (state: DomainState, uuid = "a"): DomainDescription => ({ uuid, name: uuid, state, displays: [] });

describe("RunningDomains", () => {
  let running: RunningDomains;

  beforeEach(() => {
    running = new RunningDomains();
  });

  it("knows a domain that was seen running", () => {
    running.saw(domain("running"), running.moment);
    expect(running.has("a")).to.equal(true);
    expect(running.has("b")).to.equal(false);
  });

  for (const state of ["paused", "shut-off", "saved", "crashed", "suspended", "incoming", "unknown"] as const) {
    it(`forgets a domain that was seen ${state}`, () => {
      running.saw(domain("running"), running.moment);
      running.saw(domain(state), running.moment);
      expect(running.has("a")).to.equal(false);
    });
  }

  it("forgets a domain of which libvirt tells anything, and no other", () => {
    running.saw(domain("running"), running.moment);
    running.saw(domain("running", "b"), running.moment);
    running.changed("a");
    expect([running.has("a"), running.has("b")]).to.deep.equal([false, true]);
  });

  it("does not believe an answer older than what libvirt told", () => {
    const { moment } = running;
    running.changed("a");
    running.saw(domain("running"), moment);
    expect(running.has("a")).to.equal(false);
  });

  it("forgets all when events may have been missed, and what was asked before", () => {
    const { moment } = running;
    running.saw(domain("running"), moment);
    running.clear();
    running.saw(domain("running", "b"), moment);
    expect([running.has("a"), running.has("b")]).to.deep.equal([false, false]);
  });

  it("keeps no more than a host may have", () => {
    for (let at = 0; at <= MAX_DOMAINS_PER_HOST; at += 1) running.saw(domain("running", String(at)), running.moment);
    expect(running.has(String(MAX_DOMAINS_PER_HOST - 1))).to.equal(true);
    expect(running.has(String(MAX_DOMAINS_PER_HOST))).to.equal(false);
  });
});
