// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { reasonOfClose } from "../../../src/page/close-reason.js";
import { CLOSE_CODES } from "../../../src/sessions/session.js";

describe("reasonOfClose", () => {
  it("goes by the closing frame's text", () => {
    expect(reasonOfClose(4409, "INSTANCE_NOT_RUNNING")).to.equal("INSTANCE_NOT_RUNNING");
    expect(reasonOfClose(4503, "DATABASE_UNAVAILABLE")).to.equal("DATABASE_UNAVAILABLE");
  });

  it("knows the session's codes without any text", () => {
    for (const [reason, code] of Object.entries(CLOSE_CODES)) expect(reasonOfClose(code, "")).to.equal(reason);
  });

  it("takes codes of the network for the network", () => {
    for (const code of [1001, 1006, 1011, 1012]) expect(reasonOfClose(code, "")).to.equal("NETWORK");
  });

  it("does not try for ever what it does not know", () => {
    expect(reasonOfClose(4499, "")).to.equal("PROTOCOL");
  });
});
