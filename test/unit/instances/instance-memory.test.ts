// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { Instance } from "../../../src/instances/instance.js";
import { InstanceMemory } from "../../../src/instances/instance-memory.js";
import { FORGET_REMOVED_MS } from "../../../src/lib/limits.js";
import { FakeClock } from "../../fakes/fake-clock.js";

function instanceOf(uuid: string, revision: number, more: Partial<Instance> = {}): Instance {
  return {
    uuid,
    name: "",
    projectId: "",
    userId: "",
    vmState: "",
    taskState: "",
    registered: false,
    host: "a",
    claimed: true,
    powerState: "running",
    displays: [],
    conflictHost: undefined,
    revision: BigInt(revision),
    createdAt: new Date(0),
    updatedAt: new Date(0),
    deleted: false,
    ...more,
  };
}

describe("InstanceMemory", () => {
  let clock: FakeClock;
  let memory: InstanceMemory;

  beforeEach(() => {
    clock = new FakeClock();
    memory = new InstanceMemory(clock);
  });

  it("keeps the newer of two rows, in whichever order they come", () => {
    memory.take([instanceOf("1", 5, { host: "new" })]);
    memory.take([instanceOf("1", 4, { host: "old" })]);
    expect(memory.find("1")).to.include({ host: "new" });
    memory.take([instanceOf("1", 6, { host: "newer" })]);
    expect(memory.find("1")).to.include({ host: "newer" });
  });

  it("knows who is on a host", () => {
    memory.take([instanceOf("1", 1), instanceOf("2", 2), instanceOf("3", 3, { host: undefined })]);
    memory.take([instanceOf("2", 4, { host: "b" })]);
    expect(memory.onHost("a")).to.deep.equal(["1"]);
    expect(memory.onHost("b")).to.deep.equal(["2"]);
    memory.drop(["1"]);
    expect(memory.onHost("a")).to.deep.equal([]);
    expect(memory.find("1")).to.equal(undefined);
  });

  it("counts conflicts as they come and go", () => {
    memory.take([instanceOf("1", 1, { conflictHost: "b" }), instanceOf("2", 2, { conflictHost: "b" })]);
    expect(memory.conflicts).to.equal(2);
    memory.take([instanceOf("1", 3)]);
    memory.drop(["2"]);
    expect(memory.conflicts).to.equal(0);
  });

  it("does not show a deleted instance, nor brings it back by an answer that comes late", () => {
    memory.take([instanceOf("1", 5, { deleted: true, host: undefined })]);
    memory.take([instanceOf("1", 4)]);
    expect(memory.find("1")).to.equal(undefined);
  });

  it("forgets a deleted instance after a minute", () => {
    memory.take([instanceOf("1", 5, { deleted: true, host: undefined })]);
    expect(memory.snapshot().size).to.equal(1);
    clock.advance(FORGET_REMOVED_MS + 1);
    memory.take([]);
    expect(memory.snapshot().size).to.equal(0);
  });

  it("keeps an instance that was deleted and has been revived", () => {
    memory.take([instanceOf("1", 5, { deleted: true, host: undefined })]);
    memory.take([instanceOf("1", 6)]);
    clock.advance(FORGET_REMOVED_MS + 1);
    memory.take([]);
    expect(memory.find("1")).to.include({ revision: 6n });
  });

  it("drops after a full read what was not read, but nothing that came meanwhile", () => {
    memory.take([instanceOf("gone", 1), instanceOf("read", 2), instanceOf("changed", 3)]);
    const before = memory.snapshot();
    memory.take([instanceOf("new", 4), instanceOf("changed", 5)]);
    memory.dropUnseen(before, new Set(["read"]));
    expect([...memory.snapshot().keys()].sort()).to.deep.equal(["changed", "new", "read"]);
  });
});
