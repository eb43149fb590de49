// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart, defineMachine } from "../../demo/demo-machine.js";
import { EmbeddedPostgres } from "../../demo/embedded-postgres.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { migrate } from "../../src/db/migrate.js";
import { silentLog } from "../../src/lib/log.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";

describe("Postgres is killed", function () {
  this.timeout(120_000);
  const postgres = new EmbeddedPostgres();
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machine: DemoMachine;
  let pids: readonly number[];
  const ourPids = (): readonly number[] => [deployment.controller.pid, deployment.agent!.pid];

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "postgres-killed", displays: ["spice-tcp"] });
    await postgres.start();
    await migrate({ url: postgres.url }, silentLog);
    deployment = await Deployment.start({
      databaseUrl: postgres.url,
      libvirtUri: libvirtd.uri,
      controller: { log: { level: "warn" } },
    });
    pids = ourPids();
    await deployment.knows(machine.uuid);
  });
  after(async () => {
    await deployment.stop();
    await postgres.stop();
  });

  it("answers DATABASE_UNAVAILABLE while it is gone, and consoles again when it is back", async () => {
    const load = Load.start(deployment, machine.uuid);
    try {
      for (let round = 0; round < 3; round += 1) {
        await load.recovers();
        postgres.kill("SIGKILL");
        await load.sees("DATABASE_UNAVAILABLE", 100);
        const refused = await deployment.getConsole(machine.uuid);
        expect(refused.ms, "ms to be refused").to.be.below(1_000);
        await postgres.start();
      }
      await load.recovers();
    } finally {
      await load.stop();
    }
    await load.endsWithOnly("DATABASE_UNAVAILABLE");
    expect(ourPids()).to.deep.equal(pids);
  });

  it("answers DATABASE_UNAVAILABLE while it is frozen, within the deadline, and recovers", async () => {
    const load = Load.start(deployment, machine.uuid);
    try {
      await load.recovers();
      postgres.kill("SIGSTOP");
      await load.sees("DATABASE_UNAVAILABLE", 100);
      postgres.kill("SIGCONT");
      await load.recovers();
    } finally {
      postgres.kill("SIGCONT");
      await load.stop();
    }
    await load.endsWithOnly("DATABASE_UNAVAILABLE");
    expect(ourPids()).to.deep.equal(pids);
  });

  it("learns afterwards what was defined meanwhile", async () => {
    postgres.kill("SIGKILL");
    const missed = await defineMachine(libvirtd, { name: "postgres-missed", displays: ["spice-tcp"] });
    await postgres.start();
    await deployment.knows(missed.uuid, 20_000);
  });
});
