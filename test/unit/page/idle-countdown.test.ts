// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { IdleCountdown } from "../../../src/page/idle-countdown.js";

const said = (leftS: number): { leftMs: number; warnedAtMs: number } => ({ leftMs: leftS * 1_000, warnedAtMs: 60_000 });

describe("IdleCountdown", () => {
  let countdown: IdleCountdown;

  beforeEach(() => {
    countdown = new IdleCountdown();
  });

  it("warns in the time that the server says, and counts down to nothing", () => {
    countdown.set(said(65), 0);
    expect(countdown.warning(0)).to.equal(undefined);
    expect(countdown.warning(4_999)).to.equal(undefined);
    expect(countdown.warning(5_000)).to.equal(60_000);
    expect(countdown.warning(64_000)).to.equal(1_000);
    expect(countdown.warning(70_000)).to.equal(0);
  });

  it("never warns where sessions do not end for want of input", () => {
    countdown.set(undefined, 0);
    expect(countdown.warning(1e9)).to.equal(undefined);
  });

  it("is taken back by input, also where the server's next word is older than that", () => {
    countdown.set(said(30), 0);
    expect(countdown.noteInput(1_000)).to.equal(true);
    expect(countdown.warning(1_000)).to.equal(undefined);
    countdown.set(said(29), 1_100);
    expect(countdown.warning(1_100)).to.equal(undefined);
    expect(countdown.noteInput(1_200)).to.equal(false);
  });

  it("believes the server again once that must have heard", () => {
    countdown.set(said(30), 0);
    countdown.noteInput(1_000);
    countdown.set(said(27), 4_000);
    expect(countdown.warning(4_000)).to.equal(27_000);
  });
});
