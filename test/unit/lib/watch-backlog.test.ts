// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { MAX_WATCH_BACKLOG } from "../../../src/lib/limits.js";
import { reasonOf } from "../../../src/lib/service-error.js";
import { WatchBacklog } from "../../../src/lib/watch-backlog.js";
import { rejectionOf } from "../../harness/rejection.js";

describe("WatchBacklog", () => {
  let backlog: WatchBacklog<string>;
  let gone: AbortController;

  beforeEach(() => {
    backlog = new WatchBacklog<string>("things");
    gone = new AbortController();
  });

  const take = (): Promise<string> => backlog.take(gone.signal);

  it("keeps the newest step of each thing, in the order in which they came last", async () => {
    backlog.add("a", "a1");
    backlog.add("b", "b1");
    backlog.add("a", "a2");
    expect([await take(), await take()]).to.deep.equal(["b1", "a2"]);
  });

  it("gives a step as soon as there is one", async () => {
    const taken = take();
    backlog.add("a", "a1");
    expect(await taken).to.equal("a1");
  });

  it("ends a wait when its watcher goes away", async () => {
    const taken = take();
    gone.abort();
    expect(reasonOf(await rejectionOf(taken))).to.equal("CANCELLED");
    expect(reasonOf(await rejectionOf(take()))).to.equal("CANCELLED");
  });

  it("fails for good beyond its bound, which one thing alone never reaches", async () => {
    for (let count = 0; count <= MAX_WATCH_BACKLOG; count += 1) backlog.add("a", String(count));
    expect(await take()).to.equal(String(MAX_WATCH_BACKLOG));
    for (let count = 0; count <= MAX_WATCH_BACKLOG; count += 1) backlog.add(String(count), "step");
    expect(reasonOf(await rejectionOf(take()))).to.equal("LIMITED");
    backlog.add("a", "later");
    expect((await rejectionOf(take())).message).to.contain("more things change");
  });
});
