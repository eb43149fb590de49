// SPDX-License-Identifier: Apache-2.0
// The order of things that a real Postgres cannot be made to show; the rest is in test/integration/instances/replicas.test.ts.
import { expect } from "chai";
import type { Hearing } from "../../../src/db/notifications.js";
import type { Instance } from "../../../src/instances/instance.js";
import { InstanceMemory } from "../../../src/instances/instance-memory.js";
import { InventoryProgress } from "../../../src/instances/inventory-progress.js";
import { MemoryUpkeep } from "../../../src/instances/memory-upkeep.js";
import { LOAD_BATCH, MAX_HEARD_CHANGES } from "../../../src/lib/limits.js";
import { silentLog } from "../../../src/lib/log.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { uuidOf } from "../../harness/inventory.js";
import { until } from "../../harness/within.js";

interface Read {
  readonly uuids: readonly string[] | "all";
  readonly answer: (instances: readonly Instance[]) => void;
  readonly fail: (error: Error) => void;
}

const VM = uuidOf(1);

describe("MemoryUpkeep", () => {
  let memory: InstanceMemory;
  let upkeep: MemoryUpkeep;
  let reads: Read[];
  let deleted: string[];
  let hearing: Hearing | undefined;
  let begin: () => void;
  let up: boolean;
  let onReady: () => void;
  let hear: (uuid: string) => void;

  beforeEach(() => {
    const clock = new FakeClock();
    memory = new InstanceMemory(clock);
    memory.onChange((uuid, before, after) => before && !after && deleted.push(uuid));
    reads = [];
    deleted = [];
    hearing = undefined;
    up = true;
    const read = (uuids: readonly string[] | "all"): Promise<readonly Instance[]> =>
      new Promise((answer, fail) => reads.push({ uuids, answer, fail }));
    upkeep = new MemoryUpkeep({
      database: { isReady: () => up, onReady: (listener) => ((onReady = listener), () => true) },
      notifications: {
        get hearing() {
          return hearing;
        },
        onHearing: (listener) => ((begin = listener), () => true),
        on: (_, listener) => ((hear = listener), () => true),
      },
      memory,
      progress: new InventoryProgress(clock),
      instances: { read, readAfter: () => read("all") },
      hosts: { names: () => Promise.resolve([]) },
      log: silentLog,
    });
    upkeep.start();
    onReady();
  });

  const instanceOf = (revision: number, uuid = VM): Instance =>
    ({ uuid, deleted: false, revision: BigInt(revision) }) as Instance;
  const asked = (count: number): Promise<void> => until(`${count} reads`, () => reads.length === count);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  async function whole(...instances: readonly Instance[]): Promise<void> {
    hearing = { since: 1, until: 1 };
    begin();
    await asked(1);
    reads[0]!.answer([]);
    await asked(2);
    reads[1]!.answer(instances);
    await until("everything", () => upkeep.isCurrent());
    reads.length = 0;
  }

  afterEach(async () => {
    const stopped = upkeep.stop();
    for (const read of reads) read.answer([]);
    await stopped;
  });

  it("is current only after a reading that began when everything was heard", async () => {
    await asked(1);
    hearing = { since: 1, until: 1 };
    begin();
    reads[0]!.answer([instanceOf(1)]);
    await asked(2);
    expect(upkeep.isCurrent()).to.equal(false);
    reads[1]!.answer([instanceOf(1)]);
    await until("everything", () => upkeep.isCurrent());
    hearing = { since: 2, until: 2 };
    expect(upkeep.isCurrent()).to.equal(false);
  });

  it("waits for Postgres where it hears before that is there", async () => {
    await whole();
    up = false;
    hearing = { since: 2, until: 2 };
    begin();
    await settled();
    expect(reads).to.have.length(0);
    up = true;
    onReady();
    await asked(1);
    reads[0]!.answer([instanceOf(1)]);
    await until("everything", () => upkeep.isCurrent());
  });

  it("is not current for what has changed and is not read yet, also where it changes while it is read", async () => {
    await whole(instanceOf(1));
    hear(VM);
    hear(VM);
    expect([upkeep.isCurrentFor(VM), upkeep.isCurrentFor(uuidOf(2))]).to.deep.equal([false, true]);
    await asked(1);
    hear(VM);
    reads[0]!.answer([instanceOf(2)]);
    await asked(2);
    expect(reads[1]!.uuids).to.deep.equal([VM]);
    expect(upkeep.isCurrentFor(VM)).to.equal(false);
    reads[1]!.answer([instanceOf(3)]);
    await until("the change", () => upkeep.isCurrentFor(VM));
    expect(memory.find(VM)?.revision).to.equal(3n);
  });

  it("reads together what comes while it reads, and takes no notice of what is no uuid", async () => {
    await whole();
    hear("nonsense");
    for (const n of [1, 2, 3]) hear(uuidOf(n));
    await asked(1);
    reads[0]!.answer([]);
    await asked(2);
    expect(reads.map(({ uuids }) => uuids)).to.deep.equal([[VM], [uuidOf(2), uuidOf(3)]]);
  });

  it("reads everything where more has changed than it counts", async () => {
    await whole(instanceOf(1));
    for (let n = 0; n <= MAX_HEARD_CHANGES + 1; n += 1) hear(uuidOf(n));
    expect(upkeep.isCurrent()).to.equal(false);
    await asked(2);
    expect(reads.map(({ uuids }) => uuids)).to.deep.equal([[uuidOf(0)], "all"]);
  });

  it("reads everything where it could not read a change", async () => {
    await whole(instanceOf(1));
    hear(VM);
    await asked(1);
    reads[0]!.fail(new Error("no"));
    await asked(2);
    expect(reads[1]!.uuids).to.equal("all");
    expect(upkeep.isCurrent()).to.equal(false);
    reads[1]!.answer([instanceOf(2)]);
    await until("everything", () => upkeep.isCurrentFor(VM));
  });

  it("reads everything again where changes were lost while it did", async () => {
    await whole(instanceOf(1));
    begin();
    await asked(1);
    for (let n = 0; n <= MAX_HEARD_CHANGES + 1; n += 1) hear(uuidOf(n));
    reads[0]!.answer([instanceOf(1)]);
    reads[1]!.answer([]);
    await asked(3);
    expect(upkeep.isCurrent()).to.equal(false);
  });

  it("takes in each deletion once: of what it knew, and of what is purged", async () => {
    await whole(instanceOf(1), instanceOf(1, uuidOf(3)));
    const tombstones = [VM, uuidOf(2)].map((uuid) => ({ ...instanceOf(2, uuid), deleted: true }));
    for (const uuid of [VM, uuidOf(2), uuidOf(3), uuidOf(4)]) hear(uuid);
    await asked(1);
    reads[0]!.answer(tombstones.slice(0, 1));
    await asked(2);
    reads[1]!.answer(tombstones.slice(1));
    await until("the changes", () => upkeep.isCurrentFor(uuidOf(4)));
    hear(VM);
    await asked(3);
    reads[2]!.answer(tombstones.slice(0, 1));
    await until("the change", () => upkeep.isCurrentFor(VM));
    expect(deleted.sort()).to.deep.equal([VM, uuidOf(3)]);
  });

  it("takes nothing for deleted when it is stopped in the middle", async () => {
    await whole(instanceOf(1));
    begin();
    await asked(1);
    const stopped = upkeep.stop();
    reads[0]!.answer(Array.from({ length: LOAD_BATCH }, (_, n) => instanceOf(1, uuidOf(n + 2))));
    await stopped;
    await settled();
    expect(memory.find(VM)).not.to.equal(undefined);
    expect(deleted).to.deep.equal([]);
  });
});
