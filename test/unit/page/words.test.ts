// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { ERROR_TABLE } from "../../../src/lib/service-error.js";
import { reasonOf, wordsOf } from "../../../src/page/words.js";
import { CLOSE_CODES } from "../../../src/sessions/session.js";

/** Reasons of the API that no viewer is ever given. */
const NEVER_SEEN = [
  "INVALID_ARGUMENT",
  "UNAUTHENTICATED",
  "TOKEN_NOT_FOUND",
  "HOST_NOT_FOUND",
  "VERSION_UNSUPPORTED",
  "ENROLLMENT_DISABLED",
  "LEGACY_STORE_UNAVAILABLE",
  "IDENTITY_UNAVAILABLE",
  "CANCELLED",
];

describe("the page's words", () => {
  it("exist for every reason that the server gives", () => {
    const reasons = [...Object.keys(ERROR_TABLE), ...Object.keys(CLOSE_CODES), "ABANDONED"];
    for (const reason of reasons.filter((name) => !NEVER_SEEN.includes(name))) {
      expect(reasonOf(reason)).to.equal(reason);
    }
  });

  it("say something for a reason that is not known here", () => {
    expect(reasonOf("SOMETHING_NEW")).to.equal("PROTOCOL");
    expect(reasonOf("toString")).to.equal("PROTOCOL");
    expect(wordsOf("PROTOCOL").title).not.to.equal("");
  });

  it("say of each limit what to do, and the general of one that is not known here", () => {
    for (const limit of ["max_per_instance", "max_per_caller", "max_per_controller"]) {
      expect(wordsOf(reasonOf("LIMITED", limit)), limit).to.include({ next: "ask" });
      expect(reasonOf("LIMITED", limit)).not.to.equal("LIMITED");
    }
    for (const limit of ["sessions_per_address", "failed_redemptions_per_address"]) {
      expect(wordsOf(reasonOf("LIMITED", limit)).text, limit).to.match(/from your network/);
    }
    expect(reasonOf("LIMITED", "max_channels")).to.equal("LIMITED");
    expect(reasonOf("TOKEN_USED", "max_per_caller")).to.equal("TOKEN_USED");
  });

  it("let the page try again exactly where the server says that this helps, or that the network may", () => {
    const retried = Object.entries(ERROR_TABLE).filter(([reason, mapping]) => {
      return "retryMs" in mapping && !NEVER_SEEN.includes(reason);
    });
    for (const [reason] of retried) expect(wordsOf(reasonOf(reason)).next, reason).to.equal("wait");
    expect(wordsOf("TOKEN_USED").next).to.equal("over");
    expect(wordsOf("DISPLAY_CLOSED")).to.include({ next: "ask", action: "Reconnect" });
  });
});
