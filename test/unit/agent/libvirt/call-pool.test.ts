// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { CallTaker } from "../../../../agent/libvirt/call-pool.js";
import { CallPool } from "../../../../agent/libvirt/call-pool.js";
import type { CallRequest, DomainAnswer, DomainQuestion, WorkerReply } from "../../../../agent/libvirt/messages.js";
import { MAX_QUESTIONS_TOGETHER, MAX_QUEUED_LIBVIRT_CALLS } from "../../../../src/lib/limits.js";
import { reasonOf, ServiceError } from "../../../../src/lib/service-error.js";
import { FakeClock } from "../../../fakes/fake-clock.js";
import { rejectionOf } from "../../../harness/rejection.js";

/** Takes calls and answers when told to. */
class ManualTaker implements CallTaker {
  readonly taken: string[] = [];
  open = true;
  #answer: ((reply: WorkerReply) => void) | undefined;

  get idle(): boolean {
    return this.open && !this.#answer;
  }

  call<R extends CallRequest>(request: R): Promise<WorkerReply<R["kind"]>> {
    this.taken.push(ManualTaker.#name(request));
    return new Promise<WorkerReply>((resolve) => (this.#answer = resolve)) as Promise<WorkerReply<R["kind"]>>;
  }

  static #name(request: CallRequest): string {
    switch (request.kind) {
      case "describe":
        return request.domains.map(({ uuid }) => uuid).join();
      case "openGraphics":
        return request.uuid;
      default:
        return request.kind;
    }
  }

  /** Answers the call it has, and waits until the pool has seen that. */
  async answer(reply: WorkerReply = { ok: true, value: [] }): Promise<void> {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(reply);
    await settled();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const described = (uuid: string): DomainAnswer => ({ domain: { uuid, name: uuid, state: "running", displays: [] } });
const question = (uuid: string): DomainQuestion => ({ uuid, runs: false });
const graphics = (uuid: string): CallRequest & { kind: "openGraphics" } => ({ kind: "openGraphics", uuid, index: 0 });
const about = (uuid: string): CallRequest & { kind: "describe" } => ({ kind: "describe", domains: [question(uuid)] });

describe("CallPool", () => {
  const ms = 1_000;
  let clock: FakeClock;
  let takers: ManualTaker[];
  let pool: CallPool;

  beforeEach(() => {
    clock = new FakeClock();
    takers = [new ManualTaker(), new ManualTaker()];
    pool = new CallPool(takers, clock);
  });

  it("gives each question to whoever is free, in order", async () => {
    const lists = Array.from({ length: 4 }, () => pool.ask({ kind: "list" }, { ms }));
    expect(takers.map(({ taken }) => taken.length)).to.deep.equal([1, 1]);
    await takers[1]?.answer();
    await takers[1]?.answer();
    await takers[0]?.answer();
    await takers[1]?.answer();
    await Promise.all(lists);
    expect(takers.map(({ taken }) => taken.length)).to.deep.equal([1, 3]);
  });

  it("asks together about the domains that wait, and gives each its own answer", async () => {
    const [a, b, ...waiting] = ["a", "b", "c", "d", "e"].map((uuid) => pool.ask(about(uuid), { ms }));
    await takers[0]?.answer();
    expect(takers.map(({ taken }) => taken)).to.deep.equal([["a", "c,d,e"], ["b"]]);
    await takers[0]?.answer({ ok: true, value: [described("c"), undefined, described("e")] });
    await takers[1]?.answer();
    await Promise.all([a, b]);
    expect(await Promise.all(waiting)).to.deep.equal([[described("c")], [undefined], [described("e")]]);
  });

  it("asks about no more than a few domains together, and about nothing else", async () => {
    const asked = Array.from({ length: 3 + MAX_QUESTIONS_TOGETHER }, () => pool.ask(about("x"), { ms }));
    asked.push(pool.ask({ kind: "describe", domains: [question("y"), question("z")] }, { ms }));
    await takers[0]?.answer();
    await takers[1]?.answer();
    const together = Array.from({ length: MAX_QUESTIONS_TOGETHER }, () => "x").join();
    expect(takers.map(({ taken }) => taken)).to.deep.equal([
      ["x", together],
      ["x", "x"],
    ]);
    await takers[1]?.answer();
    expect(takers[1]?.taken.at(-1)).to.equal("y,z");
    await Promise.all(takers.map((taker) => taker.answer()));
    await Promise.all(asked);
  });

  it("fails every question that was asked together", async () => {
    const asked = ["a", "b", "c", "d"].map((uuid) => pool.ask(about(uuid), { ms }));
    const failed = asked.slice(2).map((question) => rejectionOf(question));
    await takers[0]?.answer();
    await takers[0]?.answer({ ok: false, failure: { code: 1, message: "no", lost: false } });
    expect((await Promise.all(failed)).map(reasonOf)).to.deep.equal(Array(2).fill("HYPERVISOR_UNAVAILABLE"));
    await takers[1]?.answer();
    await Promise.all(asked.slice(0, 2));
  });

  it("returns the answer, and no timer stays", async () => {
    const question = pool.ask({ kind: "list" }, { ms });
    await takers[0]?.answer({ ok: true, value: ["x"] });
    expect(await question).to.deep.equal(["x"]);
    expect(clock.waiting).to.equal(0);
  });

  it("turns a failure into HYPERVISOR_UNAVAILABLE and goes on", async () => {
    const questions = [pool.ask(about("a"), { ms }), pool.ask(about("b"), { ms }), pool.ask(about("c"), { ms })];
    const failed = rejectionOf(questions[0]!);
    await takers[0]?.answer({ ok: false, failure: { code: 1, message: "no", lost: false } });
    expect(reasonOf(await failed)).to.equal("HYPERVISOR_UNAVAILABLE");
    expect(takers[0]?.taken).to.deep.equal(["a", "c"]);
    await Promise.all(takers.map((taker) => taker.answer()));
    await Promise.all(questions.slice(1));
  });

  it("answers at the deadline, and drops the late answer", async () => {
    const question = rejectionOf(pool.ask(about("a"), { ms }));
    clock.advance(ms);
    expect(reasonOf(await question)).to.equal("HYPERVISOR_UNAVAILABLE");
    await takers[0]?.answer();
    expect(takers[0]?.idle).to.equal(true);
  });

  it("does not ask a question whose caller has gone while it waited", async () => {
    const taken = [pool.ask(about("a"), { ms }), pool.ask(about("b"), { ms })];
    const caller = new AbortController();
    const gone = rejectionOf(pool.ask(about("c"), { ms, signal: caller.signal }));
    const last = pool.ask(about("d"), { ms });
    caller.abort();
    expect(reasonOf(await gone)).to.equal("CANCELLED");
    await takers[0]?.answer();
    expect(takers[0]?.taken).to.deep.equal(["a", "d"]);
    await Promise.all(takers.map((taker) => taker.answer()));
    await Promise.all([...taken, last]);
  });

  it("opens the displays of one domain one after the other, and those of others meanwhile", async () => {
    const opens = ["a", "a", "a", "b", "c"].map((uuid) => pool.ask(graphics(uuid), { ms }));
    const failed = rejectionOf(opens[1]!);
    expect(takers.map(({ taken }) => taken)).to.deep.equal([["a"], ["b"]]);
    await takers[1]?.answer({ ok: true, value: { fd: 2 } });
    expect(takers[1]?.taken).to.deep.equal(["b", "c"]);
    await takers[0]?.answer({ ok: true, value: { fd: 1 } });
    expect(takers[0]?.taken).to.deep.equal(["a", "a"]);
    await takers[1]?.answer({ ok: true, value: { fd: 3 } });
    expect(takers[1]?.taken).to.deep.equal(["b", "c"]);
    await takers[0]?.answer({ ok: false, failure: { code: 1, message: "no", lost: false } });
    expect(reasonOf(await failed)).to.equal("HYPERVISOR_UNAVAILABLE");
    expect(takers[0]?.taken).to.deep.equal(["a", "a", "a"]);
    await takers[0]?.answer({ ok: true, value: { fd: 4 } });
    expect(await Promise.all([opens[0], opens[2], opens[3], opens[4]])).to.deep.equal(
      [1, 4, 2, 3].map((fd) => ({ fd })),
    );
  });

  it("gives an answer that comes too late to whoever clears it up, and any other only to the caller", async () => {
    const unclaimed: unknown[] = [];
    const open = (uuid: string, signal?: AbortSignal): Promise<unknown> =>
      pool.ask(graphics(uuid), { ms, ...(signal && { signal }) }, (answer) => unclaimed.push(answer));
    const caller = new AbortController();
    const [cancelled, claimed] = [rejectionOf(open("a", caller.signal)), open("b")];
    caller.abort();
    await cancelled;
    await takers[0]?.answer({ ok: true, value: { fd: 1 } });
    await takers[1]?.answer({ ok: true, value: { fd: 2 } });
    expect(await claimed).to.deep.equal({ fd: 2 });
    expect(unclaimed).to.deep.equal([{ fd: 1 }]);
    const expired = rejectionOf(open("a"));
    clock.advance(ms);
    await expired;
    await takers[0]?.answer({ ok: true, value: { fd: 3 } });
    expect(unclaimed).to.deep.equal([{ fd: 1 }, { fd: 3 }]);
  });

  it("loses no answer whose caller goes in the very moment it comes", async () => {
    for (let turns = 0; turns < 6; turns += 1) {
      const got: unknown[] = [];
      const take = (answer: unknown): unknown => got.push(answer);
      const caller = new AbortController();
      const open = pool.ask(graphics("a"), { ms, signal: caller.signal }, take).then(take, () => undefined);
      const answered = takers[0]?.answer({ ok: true, value: { fd: turns } });
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      caller.abort();
      await Promise.all([answered, open]);
      expect(got, `after ${turns} turns`).to.deep.equal([{ fd: turns }]);
    }
  });

  it("waits for a connection that opens later", async () => {
    for (const taker of takers) taker.open = false;
    const question = pool.ask(about("a"), { ms });
    expect(takers.flatMap(({ taken }) => taken)).to.deep.equal([]);
    takers[1]!.open = true;
    pool.pump();
    await takers[1]?.answer();
    await question;
  });

  it("refuses questions over its bound, and only those", async () => {
    const all = Array.from({ length: MAX_QUEUED_LIBVIRT_CALLS + 2 }, () => rejectionOf(pool.ask(about("a"), { ms })));
    expect(reasonOf(await rejectionOf(pool.ask(about("b"), { ms })))).to.equal("LIMITED");
    clock.advance(ms);
    const reasons = (await Promise.all(all)).map(reasonOf);
    expect(new Set(reasons)).to.deep.equal(new Set(["HYPERVISOR_UNAVAILABLE"]));
  });

  it("fails what waits when told so, not what is being answered", async () => {
    const asked = [pool.ask(about("a"), { ms }), pool.ask(about("b"), { ms })];
    const waiting = rejectionOf(pool.ask(about("c"), { ms }));
    pool.failQueued(new ServiceError("HYPERVISOR_UNAVAILABLE", "gone"));
    expect((await waiting).message).to.equal("gone");
    await Promise.all(takers.map((taker) => taker.answer()));
    await Promise.all(asked);
  });
});
