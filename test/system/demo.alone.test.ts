// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DemoState } from "../../demo/demo.js";
import { processesOf, startTicks } from "../../demo/process-table.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { outputOf } from "../harness/run-command.js";

const UP_MS = 60_000;
const DOWN_MS = 30_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe("make demo", function () {
  this.timeout(2 * UP_MS);
  let folder: string;
  const started: DemoProcess[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "make-demo-test-"));
  });

  afterEach(async () => {
    for (const demo of started.splice(0)) await demo.end("SIGTERM");
    rmSync(folder, { recursive: true });
  });

  it("offers a console of each machine, and the lines it prints work, until Ctrl-C", async () => {
    const demo = startDemo();
    await demo.says("Ctrl-C ends the demo");
    const state = JSON.parse(readFileSync(join(folder, ".demo/state.json"), "utf8")) as DemoState;
    expectGoodState(state);
    for (const { url } of state.instances) expect(demo.output).to.contain(url);

    const { url: fresh } = (await demo.paste("GetSpiceConsole")) as { url: string };
    expect(fresh).to.contain("#token=").and.not.equal(state.url);
    const page = await fetch(fresh);
    expect(page.status).to.equal(200);
    expect(page.headers.get("content-type")).to.match(/^text\/html/);

    for (const { name } of state.instances) {
      const out = await demo.run(new RegExp(`openstack .*--spice ${name}$`, "m"));
      expect(out).to.match(/\| url +\| http:\/\/\S+\/console#token=[\w-]{43} +\|/);
    }

    const opened = await redeem(fresh);
    const { sessions } = (await demo.paste("ListSessions")) as { sessions: { sessionId: string }[] };
    expect(sessions.map(({ sessionId }) => sessionId)).to.deep.equal([opened]);
    const ended = (await demo.paste("TerminateSession", opened)) as { session: { endReason: string } };
    expect(ended.session.endReason).to.equal("END_REASON_TERMINATED");

    const second = startDemo();
    expect(await second.ended()).to.equal(1);
    expect(second.output).to.contain("running already").and.contain("state.json");

    expect(await demo.end("SIGINT")).to.equal(0);
    demo.expectGone();
    expect(existsSync(join(folder, ".demo"))).to.be.false;
  });

  it("with ONCE prints its state as its last line and leaves nothing, also of a demo that was killed", async () => {
    const killed = startDemo();
    await killed.says("machines run");
    await killed.says("Postgres listens");
    await killed.end("SIGKILL");
    const once = startDemo({ ONCE: "1" });
    expect(await once.ended()).to.equal(0);
    expectGoodState(JSON.parse(once.output.trimEnd().split("\n").at(-1)!) as DemoState);
    expect(once.output).to.contain("removed what an earlier run had left behind");
    killed.expectGone();
    once.expectGone();
    expect(readdirSync(join(folder, ".demo")).filter((name) => name.startsWith("once"))).to.be.empty;
  });

  it("says which of its processes died, keeps the logs, and takes down the rest", async () => {
    const demo = startDemo();
    await demo.says("Ctrl-C ends the demo");
    const agent = Number(/the agent is ready \(pid (\d+)/.exec(demo.output)![1]);
    process.kill(agent, "SIGKILL");
    expect(await demo.ended()).to.equal(1);
    const log = join(folder, ".demo/agent.log");
    expect(demo.output).to.contain(`agent ended (SIGKILL); its log is ${log}`);
    expect(readFileSync(log, "utf8")).to.not.be.empty;
    expect(existsSync(join(folder, ".demo/state.json"))).to.be.false;
    demo.expectGone();
  });

  it("takes down what it has started when it is interrupted early", async () => {
    const demo = startDemo();
    await demo.says("starting libvirt");
    expect(await demo.end("SIGINT")).to.equal(0);
    demo.expectGone();
  });

  function startDemo(env: Record<string, string> = {}): DemoProcess {
    const demo = new DemoProcess({ ...env, DEMO_FOLDER: join(folder, ".demo") });
    started.push(demo);
    return demo;
  }
});

function expectGoodState(state: DemoState): void {
  expect(state).to.have.all.keys("grpc", "rest", "ca", "token", "host", "instances", "url");
  expect(state.ca).to.match(/ca\.pem$/);
  expect(state.token).to.match(/^sgu_[\w-]{43}$/);
  expect(state.grpc).to.match(/^127\.0\.0\.1:\d+$/);
  expect(state.rest).to.match(/^http:\/\/127\.0\.0\.1:\d+\/v2\.1$/);
  expect(state.host).to.not.be.empty;
  expect(state.instances.map(({ name }) => name)).to.deep.equal(["demo-no-port", "demo-tcp"]);
  for (const { uuid, url } of state.instances) {
    expect(uuid).to.match(UUID);
    expect(new URL(url).hash).to.match(/^#token=[\w-]{43}$/);
  }
  expect(state.url).to.equal(state.instances[0]!.url);
}

/** Opens a console URL as its page does, and returns the session's id. */
async function redeem(url: string): Promise<string> {
  const { origin, hash } = new URL(url);
  const answer = await fetch(`${origin}/api/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: hash.slice("#token=".length) }),
  });
  return ((await answer.json()) as { session_id: string }).session_id;
}

/** The demo's program, in a process group of its own as a terminal would give it. */
class DemoProcess {
  output = "";
  readonly #child: ChildProcess;
  readonly #runFolders: string;
  readonly #exit: Promise<number | null>;

  constructor(env: Record<string, string>) {
    const main = join(PROJECT_FOLDER, "dist/demo/main.js");
    const child = spawn(process.execPath, [main], { env: { ...process.env, ...env }, detached: true });
    this.#child = child;
    this.#runFolders = `spicegate-${child.pid!.toString(36)}-${startTicks(child.pid!)!.toString(36)}-`;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (this.output += text));
    }
    this.#exit = new Promise((resolve) => child.once("close", resolve));
  }

  /** Waits until it prints the text. */
  async says(text: string): Promise<void> {
    const said = (): boolean => {
      if (this.#child.exitCode !== null) throw new Error(`the demo ended:\n${this.output}`);
      return this.output.includes(text);
    };
    await waitUntil(said, { ms: UP_MS, what: `the demo to say "${text}"` });
  }

  /** Waits for its end and returns its exit code. */
  async ended(): Promise<number | null> {
    const isOver = (): boolean => this.#child.exitCode !== null || this.#child.signalCode !== null;
    await waitUntil(isOver, { ms: UP_MS + DOWN_MS, what: "the end of the demo" });
    return this.#exit;
  }

  /** Signals its whole group, as Ctrl-C does, and waits for its end. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) process.kill(-this.#child.pid!, signal);
    return this.ended();
  }

  /** Runs the first line by buf that it prints for this method, as pasted into a shell whose ID is set; returns the JSON. */
  async paste(method: string, id = ""): Promise<unknown> {
    const line = new RegExp(`npx (buf curl .*${method})`).exec(this.output)![1]!;
    const options = { cwd: PROJECT_FOLDER, env: { ...process.env, ID: id } };
    const { stdout } = await promisify(execFile)("sh", ["-c", `node_modules/.bin/${line}`], options);
    return JSON.parse(stdout);
  }

  /** Runs the first line of its output like this, and returns what that prints. */
  async run(line: RegExp): Promise<string> {
    const [command = "false"] = line.exec(this.output) ?? [];
    return outputOf("sh", ["-c", command], { cwd: PROJECT_FOLDER });
  }

  /** Nothing that it started or made is there any more. */
  expectGone(): void {
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(this.#runFolders))).to.be.empty;
    for (const number of [0, 1, 2]) {
      expect(processesOf(join(tmpdir(), `${this.#runFolders}${number}`))).to.be.empty;
    }
  }
}
