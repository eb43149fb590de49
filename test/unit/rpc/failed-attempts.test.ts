// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { MAX_SLOW_ANSWERS, MAX_SLOW_ANSWERS_PER_ADDRESS, SLOW_ANSWER_MS } from "../../../src/lib/limits.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import type { Attempt } from "../../../src/rpc/failed-attempts.js";
import { FailedAttempts } from "../../../src/rpc/failed-attempts.js";
import { Limit } from "../../../src/rpc/limit.js";
import { FakeClock } from "../../fakes/fake-clock.js";

const BURST = 100;
/** In which one more may fail. */
const ONE_S = 1_000;
const QUICK = BURST / 2;

describe("FailedAttempts", () => {
  let clock: FakeClock;
  let attempts: FailedAttempts;
  let asked: number;

  beforeEach(() => {
    clock = new FakeClock();
    asked = 0;
    const limit = new Limit({
      name: "failed_logins_per_address",
      what: "unknown credentials",
      rate: { perSecond: 1 / ONE_S, burst: BURST },
      keyOf: ({ clientAddress }) => clientAddress,
      notes: { note: () => undefined },
      clock,
    });
    attempts = new FailedAttempts(limit, clock);
  });

  const from = (clientAddress: string, signal = new AbortController().signal): Attempt => ({
    clientAddress,
    requestId: "req",
    signal,
  });
  const refuse = (): Promise<never> => {
    asked += 1;
    return Promise.reject(new ServiceError("TOKEN_INVALID", "unknown"));
  };
  const fail = (attempt = from("stranger"), work = refuse): Promise<string> =>
    attempts.guard(attempt, work).then(() => "OK", reasonOf);
  async function failAtOnce(times: number, address = "stranger"): Promise<void> {
    for (let done = 0; done < times; done += 1) expect(await fail(from(address))).to.equal("TOKEN_INVALID");
  }
  /** Fails while answers are held back, and lets the time pass. */
  async function failSlowly(attempt = from("stranger")): Promise<string> {
    const answer = fail(attempt);
    await settled();
    clock.advance(SLOW_ANSWER_MS);
    return answer;
  }
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it("answers the first ones at once", async () => {
    await failAtOnce(QUICK);
    expect(clock.waiting).to.equal(0);
  });

  it("holds the answers back once there were many", async () => {
    await failAtOnce(QUICK);
    let answered = false;
    const answer = fail().then((reason) => {
      answered = true;
      return reason;
    });
    await settled();
    clock.advance(SLOW_ANSWER_MS - 1);
    await settled();
    expect(answered).to.equal(false);
    clock.advance(1);
    expect(await answer).to.equal("TOKEN_INVALID");
  });

  it("never makes good ones wait, nor those of anybody else", async () => {
    await failAtOnce(QUICK);
    expect(await attempts.guard(from("stranger"), () => Promise.resolve("good"))).to.equal("good");
    await failAtOnce(1, "somebody else");
    expect(clock.waiting).to.equal(0);
  });

  it("holds back nobody who has left", async () => {
    await failAtOnce(QUICK);
    const left = new AbortController();
    const answer = fail(from("stranger", left.signal));
    await settled();
    left.abort();
    expect(await answer).to.equal("TOKEN_INVALID");
    expect(clock.waiting).to.equal(0);
  });

  it("does not even ask once there were too many, until some time has passed", async () => {
    await failAtOnce(QUICK);
    let rounds = 0;
    while (asked < BURST && rounds < BURST) {
      rounds += 1;
      const answers = Array.from({ length: MAX_SLOW_ANSWERS_PER_ADDRESS }, () => fail());
      await settled();
      clock.advance(SLOW_ANSWER_MS);
      await Promise.all(answers);
    }
    const before = asked;
    expect(await fail()).to.equal("LIMITED");
    expect(asked).to.equal(before);
    await failAtOnce(1, "somebody else");
    clock.advance(BURST * ONE_S * 1_000);
    await failAtOnce(1);
  });

  it("holds back so many answers of one address, and refuses more at once", async () => {
    await failAtOnce(QUICK);
    const held = Array.from({ length: MAX_SLOW_ANSWERS_PER_ADDRESS }, () => fail());
    await settled();
    expect(await fail()).to.equal("LIMITED");
    expect(clock.waiting).to.equal(MAX_SLOW_ANSWERS_PER_ADDRESS);
    clock.advance(SLOW_ANSWER_MS);
    expect(new Set(await Promise.all(held))).to.deep.equal(new Set(["TOKEN_INVALID"]));
    expect(await failSlowly()).to.equal("TOKEN_INVALID");
  });

  it("holds back so many answers of everybody together", async () => {
    const addresses = Math.ceil(MAX_SLOW_ANSWERS / MAX_SLOW_ANSWERS_PER_ADDRESS) + 1;
    const held: Promise<string>[] = [];
    for (let address = 0; address < addresses; address += 1) {
      await failAtOnce(QUICK, `a${address}`);
      for (let n = 0; n < MAX_SLOW_ANSWERS_PER_ADDRESS; n += 1) held.push(fail(from(`a${address}`)));
    }
    await settled();
    expect(clock.waiting).to.equal(MAX_SLOW_ANSWERS);
    clock.advance(SLOW_ANSWER_MS);
    expect(new Set(await Promise.all(held))).to.deep.equal(new Set(["TOKEN_INVALID", "LIMITED"]));
  });

  it("does not count what fails for another reason", async () => {
    const away = (): Promise<never> => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away"));
    for (let done = 0; done < 2 * BURST; done += 1) {
      expect(await fail(from("stranger"), away)).to.equal("DATABASE_UNAVAILABLE");
    }
  });
});
