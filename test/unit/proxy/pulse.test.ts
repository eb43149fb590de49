// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { VIEWER_PING_MS, VIEWER_SILENT_MS } from "../../../src/lib/limits.js";
import { Pulse } from "../../../src/proxy/pulse.js";
import { FakeClock } from "../../fakes/fake-clock.js";

describe("Pulse", () => {
  let clock: FakeClock;
  let pings: number;
  let silent: number;
  let deaf: boolean;
  let pulse: Pulse;

  beforeEach(() => {
    clock = new FakeClock();
    [pings, silent, deaf] = [0, 0, false];
    pulse = new Pulse({
      clock,
      ping: () => (pings += 1),
      isDeaf: () => deaf,
      silent: () => (silent += 1),
    });
  });

  it("asks at every interval and finds a peer that never says anything, once", () => {
    clock.advance(VIEWER_SILENT_MS - 1);
    expect([pings, silent]).to.deep.equal([1, 0]);
    clock.advance(1);
    expect([pings, silent]).to.deep.equal([1, 1]);
    clock.advance(10 * VIEWER_SILENT_MS);
    expect([silent, clock.waiting]).to.deep.equal([1, 0]);
  });

  it("finds a peer within 30 s of its last sign, whenever that was", () => {
    clock.advance(1);
    pulse.beat();
    clock.advance(30_000);
    expect(silent).to.equal(1);
  });

  it("leaves a peer alone that answers", () => {
    for (let turn = 0; turn < 100; turn += 1) {
      clock.advance(VIEWER_PING_MS);
      pulse.beat();
    }
    expect([pings, silent]).to.deep.equal([100, 0]);
  });

  it("holds no silence against a peer that is not read, but goes on asking", () => {
    deaf = true;
    clock.advance(10 * VIEWER_SILENT_MS);
    expect([pings, silent]).to.deep.equal([20, 0]);
    deaf = false;
    clock.advance(VIEWER_SILENT_MS);
    expect(silent).to.equal(1);
  });

  it("does nothing more after its stop", () => {
    pulse.stop();
    pulse.stop();
    clock.advance(10 * VIEWER_SILENT_MS);
    expect([pings, silent, clock.waiting]).to.deep.equal([0, 0, 0]);
  });
});
