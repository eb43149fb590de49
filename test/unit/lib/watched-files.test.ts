// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FILES_INTERVAL_MS, MAX_WATCHED_FILE_BYTES } from "../../../src/lib/limits.js";
import { messageOf } from "../../../src/lib/message-of.js";
import { WatchedFiles } from "../../../src/lib/watched-files.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { until } from "../../harness/within.js";

// What happens to two files at a time, links and files that hang is in tls-files.test.ts.
describe("WatchedFiles", () => {
  const folder = mkdtempSync(join(tmpdir(), "watched-"));
  const file = join(folder, "one");
  let clock: FakeClock;
  let taken: string[];
  let refused: string[];
  let files: WatchedFiles;

  beforeEach(() => {
    clock = new FakeClock();
    taken = [];
    refused = [];
    writeFileSync(file, "good");
    files = new WatchedFiles({
      files: [file],
      take: ([text = ""]) => {
        if (text.startsWith("bad")) throw new Error(text);
        taken.push(text);
      },
      refused: (error) => void refused.push(messageOf(error)),
      clock,
    });
  });
  afterEach(() => files.stop());
  after(() => rmSync(folder, { recursive: true }));

  async function look(times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      await until("the last look to end", () => clock.waiting === 1);
      clock.advance(FILES_INTERVAL_MS);
    }
    await until("the look to end", () => clock.waiting === 1);
  }

  it("takes what is there at the start, and then only what is new and has come to rest", async () => {
    files.start();
    await look(2);
    writeFileSync(file, "better");
    await look(1);
    expect(taken).to.deep.equal(["good"]);
    await look(2);
    expect(taken).to.deep.equal(["good", "better"]);
    expect(refused).to.deep.equal([]);
  });

  it("says once what is no good, and takes what comes after it", async () => {
    files.start();
    writeFileSync(file, "bad");
    await look(4);
    expect(refused).to.deep.equal(["bad"]);
    writeFileSync(file, "good");
    await look(2);
    expect(taken).to.deep.equal(["good", "good"]);
  });

  it("says once that a file has gone", async () => {
    files.start();
    rmSync(file);
    await look(4);
    expect(refused).to.have.length(1);
    expect(refused[0]).to.contain("ENOENT");
  });

  it("does not read one that is huge, neither at the start nor later", async () => {
    const most = "g".repeat(MAX_WATCHED_FILE_BYTES);
    writeFileSync(file, `${most}g`);
    expect(() => files.start()).to.throw("has more than");
    writeFileSync(file, most);
    files.start();
    writeFileSync(file, `${most}g`);
    await look(4);
    expect(refused).to.have.length(1);
    expect(refused[0]).to.contain("has more than");
    expect(taken).to.deep.equal([most]);
  });

  it("does not start with what is no good", () => {
    writeFileSync(file, "bad");
    expect(() => files.start()).to.throw("bad");
  });
});
