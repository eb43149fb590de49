// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ChildProgram } from "../../../demo/child-program.js";
import type { ChildProgramOptions } from "../../../demo/child-program.js";
import { isAlive } from "../../../demo/process-table.js";
import { createRunFolder, removeRunFolder } from "../../../demo/run-folder.js";

describe("ChildProgram", () => {
  let folder: string;
  let program: ChildProgram;

  before(() => {
    folder = createRunFolder();
  });
  afterEach(() => program.stop());
  after(() => removeRunFolder(folder));

  it("starts when the program is ready and stops it in order", async () => {
    program = script("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done");
    await program.start();
    const { pid } = program;
    await program.stop();
    expect(isAlive(pid)).to.be.false;
    expect(await program.ended).to.equal("exit code 0");
    expect(program.lastLogLines(2)).to.equal("ready\nbye");
  });

  it("kills a program that ignores the request", async () => {
    program = script("trap '' TERM; echo ready; while :; do sleep 0.01; done", {
      stopSteps: [{ signal: "SIGTERM", ms: 100 }],
    });
    await program.start();
    await program.stop();
    expect(await program.ended).to.equal("SIGKILL");
  });

  it("fails at once with the program's last words when it ends before it is ready", async () => {
    program = script("echo cannot open the door; exit 3", { ready: () => false });
    const error = await program.start().catch(String);
    expect(error).to.contain("sh ended: exit code 3").and.contain("cannot open the door");
    expect(program.running).to.be.false;
  });

  it("fails with the program's last words when it is not ready in time", async () => {
    program = script("echo thinking; exec sleep 60", { ready: () => false, readyMs: 200 });
    const error = await program.start().catch(String);
    expect(error).to.contain("waited 200 ms for sh to be ready").and.contain("thinking");
  });

  it("says why when there is no such program", async () => {
    program = new ChildProgram({ ...options(), command: "/nowhere/program" });
    expect(await program.start().catch(String)).to.contain("ENOENT");
  });

  it("starts again after a kill without waiting by the caller, but never twice", async () => {
    program = script("echo ready; exec sleep 60");
    await program.start();
    const { pid } = program;
    expect(await program.start().catch(String)).to.contain("running already");
    program.kill("SIGKILL");
    await program.start();
    expect(program.pid).to.not.equal(pid);
  });

  it("gives the program nothing of our environment but PATH", async () => {
    process.env["SECRET_OF_OURS"] = "x";
    program = script("env; echo ready; exec sleep 60", { env: { GIVEN: "yes" } });
    await program.start();
    delete process.env["SECRET_OF_OURS"];
    const environment = readFileSync(program.logFile, "utf8");
    expect(environment).to.contain("GIVEN=yes").and.contain(`HOME=${folder}`).and.not.contain("SECRET_OF_OURS");
  });

  let count = 0;

  function options(): ChildProgramOptions {
    count += 1;
    const logFile = join(folder, `${count}.log`);
    const ready = (): boolean => readFileSync(logFile, "utf8").includes("ready");
    return { name: "sh", command: "/bin/sh", args: [], home: folder, logFile, ready };
  }

  function script(text: string, extra: Partial<ChildProgramOptions> = {}): ChildProgram {
    return new ChildProgram({ ...options(), args: ["-c", text], ...extra });
  }
});
