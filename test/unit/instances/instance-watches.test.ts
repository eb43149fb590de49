// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Instance } from "../../../src/instances/instance.js";
import { InstanceMemory } from "../../../src/instances/instance-memory.js";
import type { InstanceStep } from "../../../src/instances/instance-watches.js";
import { InstanceWatches } from "../../../src/instances/instance-watches.js";
import { MAX_WATCH_BACKLOG, MAX_WATCHERS } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { rejectionOf } from "../../harness/rejection.js";

const OURS = (instance: Instance): boolean => instance.projectId === "ours";

describe("InstanceWatches", () => {
  let memory: InstanceMemory;
  let watches: InstanceWatches;
  let gone: AbortController;
  let revision: bigint;

  beforeEach(() => {
    memory = new InstanceMemory(new FakeClock());
    watches = new InstanceWatches(memory);
    gone = new AbortController();
    revision = 0n;
  });

  const instanceOf = (uuid: string, more: Partial<Instance> = {}): Instance =>
    ({ uuid, projectId: "ours", name: "", deleted: false, revision: ++revision, ...more }) as Instance;
  const watch = (sees = OURS): AsyncGenerator<InstanceStep, void> => watches.watch(sees, gone.signal);

  /** The next step, in short. */
  async function next(steps: AsyncGenerator<InstanceStep, void>): Promise<string> {
    const { value: step } = await steps.next();
    if (step?.kind === "instance") return `${step.instance.uuid} ${step.instance.name}`.trim();
    return step?.kind === "removed" ? `- ${step.uuid}` : (step?.kind ?? "over");
  }

  it("tells what is in view, then that this was all, then what changes", async () => {
    memory.take([instanceOf("1"), instanceOf("2", { projectId: "theirs" }), instanceOf("3", { deleted: true })]);
    const steps = watch();
    expect([await next(steps), await next(steps)]).to.deep.equal(["1", "synced"]);
    const later = next(steps);
    memory.take([instanceOf("2", { projectId: "theirs", name: "b" }), instanceOf("4")]);
    expect(await later).to.equal("4");
    memory.take([instanceOf("1", { name: "a" })]);
    memory.take([instanceOf("1", { name: "c" })]);
    expect(await next(steps)).to.equal("1 c");
  });

  it("tells as removed what is deleted, purged, or leaves the view, and as an instance what enters it", async () => {
    memory.take(["1", "2", "3", "4"].map((uuid) => instanceOf(uuid)));
    memory.take([instanceOf("5", { projectId: "theirs" })]);
    const steps = watch();
    while ((await next(steps)) !== "synced");
    memory.take([instanceOf("1", { deleted: true, projectId: "" })]);
    memory.drop(["2"]);
    memory.take([instanceOf("3", { projectId: "theirs" }), instanceOf("5")]);
    memory.dropUnseen(new Map([["4", memory.find("4")!]]), new Set());
    const told = [await next(steps), await next(steps), await next(steps), await next(steps), await next(steps)];
    expect(told).to.deep.equal(["- 1", "- 2", "- 3", "5", "- 4"]);
    // What it never saw, and a tombstone that is forgotten, are no news.
    memory.drop(["1", "3"]);
    memory.take([instanceOf("6")]);
    expect(await next(steps)).to.equal("6");
  });

  it("tells what changed while the first ones were told, as it is last", async () => {
    memory.take(["1", "2"].map((uuid) => instanceOf(uuid)));
    const steps = watch();
    expect(await next(steps)).to.equal("1");
    memory.take([instanceOf("1", { name: "new" })]);
    memory.drop(["2"]);
    const rest = [await next(steps), await next(steps), await next(steps)];
    expect(rest).to.deep.equal(["synced", "1 new", "- 2"]);
  });

  it("cuts off a watcher that does not take what changes, and nobody else", async () => {
    const steps = watch();
    const other = watch(() => false);
    await Promise.all([next(steps), next(other)]);
    for (let n = 0; n <= MAX_WATCH_BACKLOG; n += 1) memory.take([instanceOf(String(n))]);
    expect(reasonOf(await rejectionOf(steps.next()))).to.equal("LIMITED");
    expect(watches.count).to.equal(1);
    gone.abort();
    expect(reasonOf(await rejectionOf(other.next()))).to.equal("CANCELLED");
    expect(watches.count).to.equal(0);
  });

  it("takes only so many watchers", async () => {
    const all = Array.from({ length: MAX_WATCHERS }, () => watch());
    await Promise.all(all.map(next));
    expect(reasonOf(await rejectionOf(watch().next()))).to.equal("LIMITED");
    await all[0]!.return();
    expect(await next(watch())).to.equal("synced");
  });
});
