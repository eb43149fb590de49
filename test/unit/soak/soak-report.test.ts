// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { SoakFindings } from "../../soak/soak-report.js";
import { isClean, restVerdicts, soakReport, trendsOf } from "../../soak/soak-report.js";
import { Tally } from "../../soak/tally.js";
import type { Sample } from "../../soak/trend.js";

const BOUND = { perHour: 10, noise: 5 };

function findings(more: Partial<SoakFindings> = {}): SoakFindings {
  return { minutes: 60, warmUpS: 600, watched: [], tally: new Tally(), before: new Map(), after: new Map(), ...more };
}

function watched(value: (minute: number) => number, floor = false): SoakFindings["watched"][number] {
  const samples: Sample[] = Array.from({ length: 61 }, (_, minute) => ({ at: minute * 60, value: value(minute) }));
  return { name: "rows: open channels", bound: BOUND, floor, samples };
}

describe("trendsOf", () => {
  it("does not count the warm-up", () => {
    const [found] = trendsOf(findings({ watched: [watched((minute) => Math.min(minute, 10) * 100)] }));
    expect(found?.trend.leaks).to.equal(false);
  });

  it("judges memory by its floor", () => {
    const [found] = trendsOf(findings({ watched: [watched((minute) => (minute % 2 === 0 ? 50 : minute * 10), true)] }));
    expect(found?.trend.line.slope).to.be.closeTo(0, 1e-6);
  });
});

describe("restVerdicts", () => {
  it("wants nothing left of what was opened", () => {
    const before = new Map([["rows: open channels", 0]]);
    const after = new Map([["rows: open channels", 1]]);
    expect(restVerdicts(findings({ before, after }))).to.deep.equal([
      { name: "rows: open channels", before: 0, after: 1, kept: false },
    ]);
  });

  it("allows a few descriptors, and does not compare memory", () => {
    const before = new Map([
      ["controller steady: descriptors", 40],
      ["controller steady: RSS MiB", 100],
    ]);
    const after = new Map([
      ["controller steady: descriptors", 52],
      ["controller steady: RSS MiB", 190],
    ]);
    expect(restVerdicts(findings({ before, after })).map(({ kept }) => kept)).to.deep.equal([true]);
    after.set("controller steady: descriptors", 53);
    expect(restVerdicts(findings({ before, after })).map(({ kept }) => kept)).to.deep.equal([false]);
  });
});

describe("isClean", () => {
  it("says so where nothing grew, nothing was left and everything was answered", () => {
    expect(isClean(findings({ watched: [watched(() => 3)] }))).to.equal(true);
  });

  it("denies it for a leak, for a left-over and for a request without an answer", () => {
    const unanswered = new Tally();
    unanswered.fail("GetSpiceConsole", "AGENT_UNAVAILABLE");
    expect(isClean(findings({ watched: [watched((minute) => minute)] })), "a leak").to.equal(false);
    expect(isClean(findings({ after: new Map([["rows: open sessions", 1]]) })), "a left-over").to.equal(false);
    expect(isClean(findings({ tally: unanswered })), "no answer").to.equal(false);
  });
});

describe("soakReport", () => {
  it("names what leaks, what was left over and what was not answered", () => {
    const tally = new Tally();
    tally.note("GetSpiceConsole", "at once");
    tally.note("GetSpiceConsole", "at once");
    tally.fail("GetSpiceConsole", "AGENT_UNAVAILABLE");
    const after = new Map([["rows: open sessions", 1]]);
    const text = soakReport(findings({ watched: [watched((minute) => minute)], after, tally }));
    expect(text).to.match(/NOT CLEAN/);
    expect(text).to.match(/\| rows: open channels \|.*\| LEAKS \|/);
    expect(text).to.match(/\| rows: open sessions \| 0 .*\| LEFT OVER \|/);
    expect(text).to.match(/\| GetSpiceConsole \| at once +\| 2 /);
    expect(text).to.match(/^- GetSpiceConsole: AGENT_UNAVAILABLE$/m);
  });
});
