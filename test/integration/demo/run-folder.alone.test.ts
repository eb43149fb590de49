// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAlive, startTicks } from "../../../demo/process-table.js";
import { createRunFolder, removeRunFolder, sweepRunFolders } from "../../../demo/run-folder.js";

const SUPERVISOR = join(import.meta.dirname, "abandoned-supervisor.js");

describe("run folders", () => {
  const supervisors: ChildProcess[] = [];

  afterEach(() => {
    for (const supervisor of supervisors.splice(0)) supervisor.kill("SIGKILL");
  });

  it("removes with a sweep all that a supervisor killed with SIGKILL left behind", async function () {
    this.timeout(60_000);
    const supervisor = spawn(process.execPath, [SUPERVISOR], { stdio: ["pipe", "pipe", "inherit"] });
    supervisors.push(supervisor);
    const [line] = (await once(supervisor.stdout, "data")) as [Buffer];
    const pids = JSON.parse(line.toString()) as number[];
    const prefix = `spicegate-${supervisor.pid!.toString(36)}-${startTicks(supervisor.pid!)!.toString(36)}-`;
    const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix));
    expect(folders, "one for Postgres, one for libvirtd").to.have.length(2);
    supervisor.kill("SIGKILL");
    await once(supervisor, "exit");
    const paths = folders.map((name) => join(tmpdir(), name));
    expect(
      pids.map((pid) => isAlive(pid)),
      "Postgres, libvirtd and its guest live on",
    ).to.deep.equal([true, true, true]);

    expect(await sweepRunFolders()).to.be.at.least(2);
    expect(pids.filter((pid) => isAlive(pid))).to.be.empty;
    expect(paths.filter(existsSync)).to.be.empty;
  });

  it("leaves those of a living supervisor alone", async () => {
    const folder = createRunFolder();
    await sweepRunFolders();
    expect(existsSync(folder)).to.be.true;
    await removeRunFolder(folder);
    expect(existsSync(folder)).to.be.false;
    await removeRunFolder(folder);
  });

  it("leaves folders alone that only look like them", async () => {
    const near = ["spicegate-zzzzzz-1", "spicegate-zzzzzz-1-0x", "spicegate-other"].map((name) => join(tmpdir(), name));
    for (const folder of near) mkdirSync(folder, { recursive: true });
    try {
      await sweepRunFolders();
      expect(near.filter(existsSync)).to.deep.equal(near);
    } finally {
      for (const folder of near) rmSync(folder, { recursive: true });
    }
  });

  it("never trusts a folder that somebody else made", async function () {
    if (process.getuid?.() !== 0) this.skip();
    const foreign = join(tmpdir(), "spicegate-zzzzzz-1-0");
    mkdirSync(foreign);
    try {
      chownSync(foreign, 65_534, 65_534);
      await sweepRunFolders();
      expect(existsSync(foreign)).to.be.true;
    } finally {
      rmSync(foreign, { recursive: true });
    }
  });
});
