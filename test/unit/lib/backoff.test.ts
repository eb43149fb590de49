// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Backoff } from "../../../src/lib/backoff.js";

describe("Backoff", () => {
  const most = (): number => 1;

  it("doubles its window up to the cap", () => {
    const backoff = new Backoff({ firstMs: 100, mostMs: 500 }, most);
    expect([1, 2, 3, 4, 5].map(() => backoff.next())).to.deep.equal([100, 200, 400, 500, 500]);
  });

  it("jitters over the whole window", () => {
    const draws = [0, 0.5];
    const backoff = new Backoff({ firstMs: 100, mostMs: 500 }, () => draws.shift() ?? 1);
    expect([backoff.next(), backoff.next()]).to.deep.equal([0, 100]);
  });

  it("begins anew after a reset", () => {
    const backoff = new Backoff({ firstMs: 100, mostMs: 500 }, most);
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).to.equal(100);
  });
});
