// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { LoopbackCallers } from "../../../src/rpc/loopback-callers.js";

const CALLER: Caller = { subject: "loopback", project: "", roles: ["admin"] };
const TRUSTED = { trust_loopback: true, loopback_caller: CALLER };

describe("LoopbackCallers", () => {
  const callers = new LoopbackCallers(TRUSTED, "none");

  it("takes whoever is on this machine for the configured caller", () => {
    for (const address of ["127.0.0.1", "127.1.2.3", "::1"]) {
      expect(callers.identify({ token: undefined, address })).to.equal(CALLER);
    }
  });

  it("knows nobody elsewhere", () => {
    for (const address of ["10.0.0.1", "::2", ""]) {
      expect(callers.identify({ token: undefined, address })).to.equal(NOBODY);
    }
  });

  it("knows nobody who shows a token, be it none", () => {
    for (const token of ["x", ""]) expect(callers.identify({ token, address: "::1" })).to.equal(NOBODY);
  });

  it("knows those alone who show some token, where clients cannot do without", () => {
    const any = new LoopbackCallers(TRUSTED, "any");
    expect(any.identify({ token: "x", address: "::1" })).to.equal(CALLER);
    for (const token of ["", undefined]) expect(any.identify({ token, address: "::1" })).to.equal(NOBODY);
  });

  it("knows nobody at all where loopback is not trusted", () => {
    const distrusting = new LoopbackCallers({ ...TRUSTED, trust_loopback: false }, "none");
    expect(distrusting.identify({ token: undefined, address: "127.0.0.1" })).to.equal(NOBODY);
  });
});
