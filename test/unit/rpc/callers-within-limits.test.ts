// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Registry } from "prom-client";
import { SLOW_ANSWER_MS } from "../../../src/lib/limits.js";
import { reasonOf, ServiceError } from "../../../src/lib/service-error.js";
import type { Caller } from "../../../src/rpc/caller.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { Callers } from "../../../src/rpc/callers.js";
import { abortError } from "../../../src/lib/deadline.js";
import { createCallMetrics } from "../../../src/telemetry/controller-metrics.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { callLimits } from "../../harness/call-limits.js";

const ANN: Caller = { subject: "ann", project: "p", roles: ["member"] };
const FAILURES = 10;

describe("Callers, within limits", () => {
  let clock: FakeClock;
  let asked: string[];
  let noted: string[];
  let callers: Callers;

  beforeEach(() => {
    clock = new FakeClock();
    asked = [];
    noted = [];
    const settings = {
      requests_per_caller: 1,
      caller_burst: 5,
      requests_per_address: 1,
      address_burst: 30,
      failed_logins_per_address: FAILURES,
    };
    const isFree = (address: string): boolean => address === "127.0.0.1";
    const limits = callLimits(settings, { isFree, notes: { note: (limit) => void noted.push(limit) }, clock });
    callers = new Callers({
      sources: [{ identify: ({ token }) => (token === "known" ? ANN : NOBODY) }, { identify: askElsewhere }],
      entrance: "grpc",
      limits,
      metrics: createCallMetrics(new Registry()),
    });
  });

  /** Knows one token, and has to ask for it. */
  function askElsewhere(
    { token = "" }: { readonly token: string | undefined },
    signal: AbortSignal,
  ): Caller | Promise<Caller> {
    if (token === "") return NOBODY;
    if (signal.aborted) return Promise.reject(abortError(signal));
    asked.push(token);
    return Promise.resolve(token === "elsewhere" ? ANN : NOBODY);
  }

  /** How a request with this token is answered; time passes where that takes some. */
  async function request(token: string | undefined, clientAddress = "192.0.2.1"): Promise<string> {
    const attempt = { clientAddress, requestId: "req", signal: new AbortController().signal };
    const answer = callers.admit({ token, address: clientAddress }, attempt).then(({ subject }) => subject, reasonOf);
    await new Promise((resolve) => setImmediate(resolve));
    if (clock.waiting > 0) clock.advance(SLOW_ANSWER_MS);
    return answer;
  }
  async function requests(count: number, token: string | undefined, address?: string): Promise<string[]> {
    const answers: string[] = [];
    while (answers.length < count) answers.push(await request(token, address));
    return answers;
  }
  /** Shows what nobody knows until the limit is reached. */
  async function failTooOften(): Promise<void> {
    const answers = await requests(2 * FAILURES, "guess");
    expect(answers).to.include("UNAUTHENTICATED").and.to.include("LIMITED");
  }

  it("counts the requests of a caller, whatever it shows and wherever it is", async () => {
    expect(await requests(5, "known", "127.0.0.1")).to.deep.equal(Array(5).fill("ann"));
    expect(await request("known")).to.equal("LIMITED");
    expect(await request("elsewhere")).to.equal("LIMITED");
    expect(noted).to.deep.equal(Array(2).fill("requests_per_caller"));
  });

  it("counts the requests of an address before anybody is asked", async () => {
    await requests(30, undefined);
    expect(await request("elsewhere")).to.equal("LIMITED");
    expect(asked).to.deep.equal([]);
    expect(await request("elsewhere", "192.0.2.2")).to.equal("ann");
  });

  it("asks nobody for an address that has shown too much that is not known", async () => {
    await failTooOften();
    const before = asked.length;
    expect(await request("guess")).to.equal("LIMITED");
    expect(await request("elsewhere")).to.equal("LIMITED");
    expect(asked).to.have.length(before);
    expect(noted.at(-1)).to.equal("failed_logins_per_address");
    expect(await request("elsewhere", "192.0.2.2")).to.equal("ann");
  });

  it("knows who is known without asking all the same, and says nothing of a limit", async () => {
    await failTooOften();
    const before = noted.length;
    expect(await request("known")).to.equal("ann");
    expect(noted).to.have.length(before);
  });

  it("does not count requests that show nothing as attempts", async () => {
    expect(await requests(2 * FAILURES, undefined)).to.deep.equal(Array(2 * FAILURES).fill("UNAUTHENTICATED"));
    expect(clock.waiting).to.equal(0);
    expect(await request("elsewhere")).to.equal("ann");
  });

  it("counts what anybody shows in vain as an attempt, and does not look at more once there were too many", async () => {
    const attempt = { clientAddress: "192.0.2.1", requestId: "req", signal: new AbortController().signal };
    let looked = 0;
    const show = async (): Promise<string> => {
      const answer = callers.serveAnybody(attempt, () => {
        looked += 1;
        return Promise.reject(new ServiceError("UNAUTHENTICATED", "no such join token"));
      });
      const outcome = answer.then(() => "OK", reasonOf);
      await new Promise((resolve) => setImmediate(resolve));
      if (clock.waiting > 0) clock.advance(SLOW_ANSWER_MS);
      return outcome;
    };
    for (let shown = 0; shown < 2 * FAILURES; shown += 1) await show();
    const before = looked;
    expect(before).to.be.below(2 * FAILURES);
    expect(await show()).to.equal("LIMITED");
    expect(looked).to.equal(before);
    expect(await request("elsewhere")).to.equal("LIMITED");
  });

  it("counts nothing where it only looks whether a caller is still known", async () => {
    const { signal } = new AbortController();
    for (let times = 0; times < 50; times += 1) {
      expect(await callers.identify({ token: "known", address: "192.0.2.1" }, signal)).to.equal(ANN);
    }
    expect(await request("known")).to.equal("ann");
  });

  it("lets through what a source fails with", async () => {
    const away: Callers = new Callers({
      sources: [{ identify: () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "away")) }],
      entrance: "rest",
      limits: callLimits({ failed_logins_per_address: 1 }),
      metrics: createCallMetrics(new Registry()),
    });
    const attempt = { clientAddress: "192.0.2.1", requestId: "req", signal: new AbortController().signal };
    for (let times = 0; times < 5; times += 1) {
      expect(await away.admit({ token: "x", address: "192.0.2.1" }, attempt).then(() => "OK", reasonOf)).to.equal(
        "DATABASE_UNAVAILABLE",
      );
    }
  });
});
