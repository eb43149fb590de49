// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { pause, waitAtMost, withDeadline } from "../../../src/lib/deadline.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { rejectionOf } from "../../harness/rejection.js";

const expired = (): Error => new Error("too late");
const never = (): Promise<never> => new Promise<never>(() => undefined);

describe("withDeadline", () => {
  it("gives the result and leaves no timer", async () => {
    const clock = new FakeClock();
    expect(await withDeadline({ ms: 10, expired, clock }, () => Promise.resolve(1))).to.equal(1);
    expect(clock.waiting).to.equal(0);
  });

  it("passes an error on, thrown at once or later, and leaves no timer", async () => {
    const clock = new FakeClock();
    const failing = (): Promise<never> => Promise.reject(new Error("no"));
    expect((await rejectionOf(withDeadline({ ms: 10, expired, clock }, failing))).message).to.equal("no");
    const throwing = (): Promise<never> => {
      throw new Error("at once");
    };
    expect((await rejectionOf(withDeadline({ ms: 10, expired, clock }, throwing))).message).to.equal("at once");
    expect(clock.waiting).to.equal(0);
  });

  it("fails at the deadline, not before, and aborts the work", async () => {
    const clock = new FakeClock();
    const seen: AbortSignal[] = [];
    const wait = withDeadline({ ms: 10, expired, clock }, (signal) => {
      seen.push(signal);
      return never();
    });
    clock.advance(9);
    expect(seen[0]?.aborted).to.equal(false);
    clock.advance(1);
    expect((await rejectionOf(wait)).message).to.equal("too late");
    expect(seen[0]?.aborted).to.equal(true);
  });

  it("drops what comes after the deadline, an error too", async () => {
    const clock = new FakeClock();
    for (const late of [() => Promise.resolve(1), () => Promise.reject(new Error("late"))]) {
      let goOn: () => void = () => undefined;
      const begun = new Promise<void>((resolve) => (goOn = resolve));
      const wait = rejectionOf(waitAtMost({ ms: 10, expired, clock }, () => begun.then(late)));
      clock.advance(10);
      goOn();
      expect((await wait).message).to.equal("too late");
    }
  });

  it("ends with CANCELLED when the caller's signal aborts", async () => {
    const clock = new FakeClock();
    const caller = new AbortController();
    const wait = withDeadline({ ms: 10, expired, signal: caller.signal, clock }, never);
    caller.abort();
    expect(await rejectionOf(wait)).to.have.property("reason", "CANCELLED");
    expect(clock.waiting).to.equal(0);
  });

  it("ends with the signal's own error where it has one", async () => {
    const caller = new AbortController();
    const wait = withDeadline({ ms: 10, expired, signal: caller.signal, clock: new FakeClock() }, never);
    caller.abort(new ServiceError("DRAINING", "stopping"));
    expect(await rejectionOf(wait)).to.have.property("reason", "DRAINING");
  });

  it("does not begin when the signal has already aborted", async () => {
    let begun = false;
    const wait = withDeadline({ ms: 10, expired, signal: AbortSignal.abort() }, () => {
      begun = true;
      return never();
    });
    expect(await rejectionOf(wait)).to.have.property("reason", "CANCELLED");
    expect(begun).to.equal(false);
  });
});

describe("pause", () => {
  it("waits its time", async () => {
    const clock = new FakeClock();
    const paused = pause(10, undefined, clock);
    clock.advance(10);
    expect(await paused).to.equal(true);
  });

  it("ends early, without an error, when the signal aborts", async () => {
    const clock = new FakeClock();
    const caller = new AbortController();
    const paused = pause(10, caller.signal, clock);
    caller.abort();
    expect(await paused).to.equal(false);
    expect(await pause(10, caller.signal, clock)).to.equal(false);
    expect(clock.waiting).to.equal(0);
  });
});
