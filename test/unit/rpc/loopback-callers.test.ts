// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { LoopbackCallers, requireSomebody } from "../../../src/rpc/loopback-callers.js";

const CALLER: Caller = { subject: "loopback", project: "", roles: ["admin"] };

describe("LoopbackCallers", () => {
  const callers = new LoopbackCallers({ trust_loopback: true, loopback_caller: CALLER });

  it("takes whoever is on this machine for the configured caller", () => {
    for (const address of ["127.0.0.1", "127.1.2.3", "::1"]) expect(callers.at(address)).to.equal(CALLER);
  });

  it("knows nobody elsewhere", () => {
    for (const address of ["10.0.0.1", "::2", ""]) expect(callers.at(address)).to.equal(NOBODY);
  });

  it("knows nobody at all where loopback is not trusted", () => {
    const distrusting = new LoopbackCallers({ trust_loopback: false, loopback_caller: CALLER });
    expect(distrusting.at("127.0.0.1")).to.equal(NOBODY);
  });

  it("lets somebody pass, and tells nobody which setting it is", () => {
    expect(() => requireSomebody(CALLER)).not.to.throw();
    expect(() => requireSomebody(NOBODY))
      .to.throw(/identity\.trust_loopback/)
      .with.property("reason", "UNAUTHENTICATED");
  });
});
