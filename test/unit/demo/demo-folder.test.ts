// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DemoFolder, DemoRunningError } from "../../../demo/demo-folder.js";

// No pid is that high.
const DEAD = "zzzzzz-1";

describe("DemoFolder", () => {
  let parent: string;
  let top: string;

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), "demo-folder-test-"));
    top = join(parent, ".demo");
  });

  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  it("refuses a second demo while the first lives, and says where the first one's state is", () => {
    DemoFolder.take(top).write("state.json", "{}");
    expect(() => DemoFolder.take(top)).to.throw(DemoRunningError, join(top, "state.json"));
    expect(readdirSync(top)).to.have.members(["owner", "state.json"]);
  });

  it("takes over from a demo that is dead and removes what it left", () => {
    mkdirSync(join(top, `once-${DEAD}`), { recursive: true });
    writeFileSync(join(top, "owner"), DEAD);
    writeFileSync(join(top, "state.json"), "old");
    DemoFolder.take(top);
    expect(readdirSync(top)).to.deep.equal(["owner"]);
  });

  it("lets a demo that runs once live beside", () => {
    const staying = DemoFolder.take(top);
    const once = DemoFolder.takeOnce(top);
    once.write("state.json", "{}");
    staying.release({ keepLogs: false });
    expect(existsSync(once.file("state.json"))).to.be.true;
    once.release({ keepLogs: false });
    expect(existsSync(top)).to.be.false;
  });

  it("is for its user alone", () => {
    const folder = DemoFolder.take(top);
    expect(statSync(top).mode & 0o777).to.equal(0o700);
    expect(statSync(folder.write("controller.yaml", "secret")).mode & 0o777).to.equal(0o600);
  });

  it("leaves nothing when it is released, or only the logs; a second release does nothing", () => {
    const folder = DemoFolder.take(top);
    folder.write("agent.log", "why");
    folder.write("state.json", "{}");
    folder.release({ keepLogs: true });
    expect(readdirSync(top)).to.deep.equal(["agent.log"]);
    const next = DemoFolder.take(top);
    expect(readdirSync(top)).to.deep.equal(["owner"]);
    next.release({ keepLogs: false });
    next.release({ keepLogs: false });
    expect(existsSync(top)).to.be.false;
  });
});
