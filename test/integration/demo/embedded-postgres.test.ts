// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import pg from "pg";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { ownKey } from "../../../demo/process-table.js";

const START_MS = 30_000;

describe("EmbeddedPostgres", function () {
  this.timeout(START_MS);
  const started: EmbeddedPostgres[] = [];
  let foldersBefore: string[];

  beforeEach(() => {
    foldersBefore = runFolders();
  });

  afterEach(async () => {
    await Promise.all(started.splice(0).map((postgres) => postgres.stop()));
    expect(runFolders(), "folders left behind").to.deep.equal(foldersBefore);
  });

  it("starts twice side by side, and neither sees the other", async () => {
    const [one, two] = await Promise.all([startPostgres(), startPostgres()]);
    await query(one.url, "create database only_here");
    expect(one.port).to.not.equal(two.port);
    expect(await query(one.databaseUrl("only_here"), "select 1 as one")).to.deep.equal([{ one: 1 }]);
    const error = await query(two.databaseUrl("only_here"), "select 1").catch((error: unknown) => error);
    expect(error).to.have.property("code", "3D000");
  });

  it("keeps what was committed through kill -9 and a new start, on the same port", async () => {
    const postgres = await startPostgres();
    const { url, pid } = postgres;
    await query(url, "create table kept (n int); insert into kept select generate_series(1, 1000)");
    postgres.kill("SIGKILL");
    await postgres.start();
    expect(postgres.url).to.equal(url);
    expect(postgres.pid).to.not.equal(pid);
    expect(await query(url, "select count(*)::int as n from kept")).to.deep.equal([{ n: 1000 }]);
  });

  it("starts again beside sessions that a killed main process left", async () => {
    const postgres = await startPostgres();
    const client = new pg.Client(postgres.url);
    client.on("error", () => undefined);
    await client.connect();
    // Busy on a processor, a session does not notice that its main process is gone.
    const busy = client.query("select count(*) from generate_series(1, 1e12::bigint)").catch(() => "ended");
    process.kill(postgres.pid, "SIGKILL");
    await postgres.program.ended;
    await postgres.start();
    expect(await busy).to.equal("ended");
    expect(await query(postgres.url, "select 1 as one")).to.deep.equal([{ one: 1 }]);
  });

  it("refuses who does not know its password", async () => {
    const url = new URL((await startPostgres()).url);
    url.password = "guess";
    const error = await query(url.href, "select 1").catch((error: unknown) => error);
    expect(error).to.have.property("code", "28P01");
  });

  it("stops in order even while it is frozen, and twice", async () => {
    const postgres = await startPostgres();
    const { program } = postgres;
    postgres.kill("SIGSTOP");
    await postgres.stop();
    await postgres.stop();
    expect(await program.ended).to.equal("exit code 0");
    expect(program.running).to.be.false;
  });

  it("shows the server's own words when it cannot start", async () => {
    const first = await startPostgres();
    const second = new EmbeddedPostgres({ port: first.port });
    started.push(second);
    const error = await second.start().catch(String);
    expect(error).to.contain("postgres ended").and.contain("Address already in use");
  });

  it("leaves no shared memory, not even when it was killed", async () => {
    const postgres = await startPostgres();
    const ours = sharedMemoryOf(postgres.pid);
    expect(ours, "it has some while it runs").to.not.be.empty;
    postgres.kill("SIGKILL");
    await postgres.stop();
    expect(allSharedMemory().filter(({ id }) => ours.includes(id))).to.be.empty;
  });

  async function startPostgres(): Promise<EmbeddedPostgres> {
    const postgres = new EmbeddedPostgres();
    started.push(postgres);
    await postgres.start();
    return postgres;
  }
});

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}

function runFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith(`spicegate-${ownKey()}-`));
}

function sharedMemoryOf(creator: number): string[] {
  return allSharedMemory()
    .filter(({ pid }) => pid === creator)
    .map(({ id }) => id);
}

/** The machine's System V segments: their ids, and who made them. */
function allSharedMemory(): { readonly id: string; readonly pid: number }[] {
  const [, ...lines] = readFileSync("/proc/sysvipc/shm", "utf8").trim().split("\n");
  return lines.map((line) => {
    const [, id = "", , , pid = ""] = line.trim().split(/\s+/);
    return { id, pid: Number(pid) };
  });
}
