// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { CallLimits } from "../../../src/rpc/call-limits.js";
import { NO_CALL_LIMITS } from "../../../src/rpc/call-limits.js";
import type { Asker, Limit } from "../../../src/rpc/limit.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { callLimits } from "../../harness/call-limits.js";

const SETTINGS = {
  requests_per_caller: 1,
  caller_burst: 3,
  requests_per_address: 1,
  address_burst: 5,
  sessions_per_address: 4,
  agent_connections_per_address: 1,
};
const ENOUGH = 100;

describe("CallLimits", () => {
  let limits: CallLimits;

  beforeEach(() => {
    limits = callLimits(SETTINGS, { isFree: (address) => address === "198.51.100.1" });
  });

  const from = (clientAddress: string, subject = "", project = ""): Asker => ({
    clientAddress,
    requestId: "req",
    caller: { subject, project },
  });
  /** How many pass until one is refused; ENOUGH where none is. */
  function passing(limit: Limit, asker: Asker): number {
    for (let passed = 0; passed < ENOUGH; passed += 1) {
      try {
        limit.take(asker);
      } catch (error) {
        expect(reasonOf(error)).to.equal("LIMITED");
        return passed;
      }
    }
    return ENOUGH;
  }

  it("count requests of an address, and of an IPv6 network", () => {
    expect(passing(limits.address, from("192.0.2.1"))).to.equal(5);
    expect(passing(limits.address, from("192.0.2.2"))).to.equal(5);
    expect(passing(limits.address, from("2001:db8::1"))).to.equal(5);
    expect(passing(limits.address, from("2001:db8::2"))).to.equal(0);
  });

  it("count nothing by an address that is free", () => {
    expect(passing(limits.address, from("198.51.100.1"))).to.equal(ENOUGH);
    expect(passing(limits.sessions, from("198.51.100.1"))).to.equal(ENOUGH);
  });

  it("count requests of a caller, wherever it is", () => {
    expect(passing(limits.caller, from("127.0.0.1", "ann", "p"))).to.equal(3);
    expect(passing(limits.caller, from("192.0.2.1", "ann", "p"))).to.equal(0);
    expect(passing(limits.caller, from("127.0.0.1", "ann", "q"))).to.equal(3);
    expect(passing(limits.caller, from("127.0.0.1", "ben", "p"))).to.equal(3);
  });

  it("count a minute's sessions, all of them at once if need be", () => {
    expect(passing(limits.sessions, from("192.0.2.1"))).to.equal(4);
  });

  it("let the agents behind an address come back together", () => {
    expect(passing(limits.agentConnections, from("192.0.2.1"))).to.equal(10);
  });

  it("can all be off", () => {
    const { address, caller, sessions, agentConnections } = NO_CALL_LIMITS;
    for (const limit of [address, caller, sessions, agentConnections]) {
      expect(passing(limit, from("192.0.2.1", "ann"))).to.equal(ENOUGH);
    }
  });
});
