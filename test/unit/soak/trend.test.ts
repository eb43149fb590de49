// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Sample } from "../../soak/trend.js";
import { afterWarmUp, floors, judgeTrend, leastSquares } from "../../soak/trend.js";

const BOUND = { perHour: 10, noise: 5 };

/** One sample a minute. */
function series(count: number, value: (minute: number) => number): Sample[] {
  return Array.from({ length: count }, (_, minute) => ({ at: minute * 60, value: value(minute) }));
}

describe("leastSquares", () => {
  it("finds the line that the samples lie on", () => {
    const { slope, uncertainty, from, to } = leastSquares(series(61, (minute) => 100 + minute / 2));
    expect(slope).to.be.closeTo(30, 1e-9);
    expect(uncertainty).to.be.closeTo(0, 1e-6);
    expect([from, to]).to.satisfy(([a, b]: number[]) => Math.abs(a! - 100) < 1e-9 && Math.abs(b! - 130) < 1e-9);
  });

  it("is as unsure as the samples are scattered", () => {
    // By hand: 0, 1 and 0 an hour apart have slope 0, and the square root of 2/3 ÷ 1 ÷ 2 as its standard error.
    const line = leastSquares([0, 1, 0].map((value, hour) => ({ at: hour * 3_600, value })));
    expect(line.slope).to.be.closeTo(0, 1e-9);
    expect(line.uncertainty).to.be.closeTo(1.96 * Math.sqrt(2 / 3 / 2), 1e-9);
  });

  it("is flat through one sample, through several of one moment, and through none", () => {
    expect(leastSquares([{ at: 5, value: 7 }])).to.deep.equal({ slope: 0, uncertainty: 0, from: 7, to: 7 });
    const together = [6, 8].map((value) => ({ at: 5, value }));
    expect(leastSquares(together)).to.deep.equal({ slope: 0, uncertainty: 0, from: 7, to: 7 });
    expect(leastSquares([])).to.deep.equal({ slope: 0, uncertainty: 0, from: 0, to: 0 });
  });
});

describe("floors", () => {
  it("keeps the lowest sample of each span, in order", () => {
    const saw = series(13, (minute) => (minute % 3 === 0 ? 10 : 90));
    expect(floors(saw, 4).map(({ at, value }) => [at / 60, value])).to.deep.equal([
      [0, 10],
      [3, 10],
      [6, 10],
      [9, 10],
    ]);
  });

  it("leaves what is of one moment as it is", () => {
    const one = [{ at: 60, value: 1 }];
    expect(floors(one, 4)).to.deep.equal(one);
  });
});

describe("afterWarmUp", () => {
  it("drops what came before", () => {
    expect(afterWarmUp(series(5, Number), 120).map(({ at }) => at)).to.deep.equal([120, 180, 240]);
  });
});

describe("judgeTrend", () => {
  it("finds a leak that is steeper than the bound", () => {
    expect(
      judgeTrend(
        series(61, (minute) => 100 + minute / 2),
        BOUND,
      ).leaks,
    ).to.equal(true);
  });

  it("lets pass what grows more slowly than the bound", () => {
    expect(
      judgeTrend(
        series(61, (minute) => 100 + minute / 7),
        BOUND,
      ).leaks,
    ).to.equal(false);
  });

  it("lets pass a steep rise that is too small to mean anything", () => {
    expect(
      judgeTrend(
        series(7, (minute) => 100 + minute / 2),
        BOUND,
      ).leaks,
    ).to.equal(false);
  });

  it("lets pass what jumps so much that its slope is a guess", () => {
    const jumping = series(9, (minute) => (minute % 2) * 100 + minute);
    expect(judgeTrend(jumping, BOUND).line.slope).to.be.above(BOUND.perHour);
    expect(judgeTrend(jumping, BOUND).leaks).to.equal(false);
  });

  it("lets pass what stands still or falls", () => {
    expect(
      judgeTrend(
        series(61, () => 100),
        BOUND,
      ).leaks,
    ).to.equal(false);
    expect(
      judgeTrend(
        series(61, (minute) => 100 - minute),
        BOUND,
      ).leaks,
    ).to.equal(false);
  });
});
