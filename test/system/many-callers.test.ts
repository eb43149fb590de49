// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ClientUnaryCall } from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import type { GetSpiceConsoleResponse } from "../../proto/gen/spicegate/console/v1/console.js";
import { domainOf, RawAgent } from "../fakes/raw-agent.js";
import { Deployment } from "../harness/deployment.js";
import type { CallResult } from "../harness/grpc-client.js";
import { callUnary } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { countTokens, countWaiting, runStatement, whileLocked } from "../harness/test-database.js";

const MOST_IN_FLIGHT = 256;

describe("many callers", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let machine: DemoMachine;
  let silent: RawAgent;
  const silentUuid = randomUUID();

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "many-callers", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    silent = await RawAgent.join(deployment.agents, { host: "silent" });
    const inventorySnapshot = { sequence: 1n, domains: [domainOf(silentUuid)], lastPage: true };
    silent.send({ $case: "inventorySnapshot", inventorySnapshot });
    await deployment.knows(machine.uuid);
    await deployment.knows(silentUuid);
  });
  after(async () => {
    silent.close();
    await deployment.stop();
  });

  it("are all served when a hundred of them ask for one host at once", async () => {
    const results = await Promise.all(Array.from({ length: 100 }, () => deployment.getConsole(machine.uuid)));
    expect(results.filter(({ ok }) => !ok)).to.deep.equal([]);
    const urls = results.map((result) => (result.ok ? result.response.url : ""));
    expect(new Set(urls).size).to.equal(100);
  });

  it("leave nothing behind when they go away while the agent works", async () => {
    const before = await countTokens(deployment.databaseUrl);
    const calls = start(silentUuid, 20);
    for (let id = 1; id <= 20; id += 1) await silent.next("request", ({ request }) => request.id === BigInt(id));
    for (const { call } of calls) call.cancel();
    for (let id = 1; id <= 20; id += 1) await silent.next("cancel", ({ cancel }) => cancel.id === BigInt(id));
    for (const { result } of calls) expect(reasonOf(await result)).to.equal("CANCELLED");
    expect(await countTokens(deployment.databaseUrl)).to.equal(before);
  });

  it("leave no token behind when they go away while it is stored", async () => {
    const lock = ["select from instances where instance_uuid = $1::uuid for update", [machine.uuid]] as const;
    await whileLocked(deployment.databaseUrl, lock, async (unlock) => {
      const before = await countTokens(deployment.databaseUrl);
      // Less than a statement may wait, and enough for a busy machine.
      const calls = [...start(machine.uuid, 5), ...start(machine.uuid, 1, 1_000)];
      await waitUntil(async () => (await countWaiting(deployment.databaseUrl)) === 6, {
        ms: 900,
        what: "statements that wait",
      });
      for (const { call } of calls.slice(0, 5)) call.cancel();
      expect(reasonOf(await calls.at(-1)!.result)).to.equal("DEADLINE_EXCEEDED");
      await unlock();
      // On a machine that stands still meanwhile, the statement's own time-out may come first.
      await served(deployment, ["CANCELLED", "DATABASE_UNAVAILABLE"], 26);
      expect(await countTokens(deployment.databaseUrl)).to.equal(before);
      const [row] = await runStatement<{ balance: number }>(
        deployment.databaseUrl,
        `select sum(case action when 'issued' then 1 when 'revoked' then -token_count end)::integer as balance
         from audit_events`,
      );
      expect(row?.balance, "tokens by the audit").to.equal(before);
    });
  });

  it("are LIMITED beyond 256 in flight on one host, and told when to try again", async () => {
    const inFlight = start(silentUuid, MOST_IN_FLIGHT);
    await silent.next("request", ({ request }) => request.id === BigInt(20 + MOST_IN_FLIGHT));
    const result = await deployment.getConsole(silentUuid);
    if (result.ok) throw new Error("it was not limited");
    expect(result.failure.reason).to.equal("LIMITED");
    expect(result.failure.retry?.retryDelay?.seconds).to.equal(1n);
    expect((await deployment.getConsole(machine.uuid)).ok, "another host's console").to.equal(true);
    for (const { call } of inFlight) call.cancel();
    await Promise.all(inFlight.map(({ result: ended }) => ended));
  });

  interface Started {
    readonly call: ClientUnaryCall;
    readonly result: Promise<CallResult<GetSpiceConsoleResponse>>;
  }

  function start(instanceUuid: string, count: number, ms = 10_000): Started[] {
    const { console } = deployment;
    return Array.from({ length: count }, () => {
      let call!: ClientUnaryCall;
      const onCall = (made: ClientUnaryCall): void => void (call = made);
      const request = { instanceUuid, consoleType: "" };
      const result = callUnary(console.getSpiceConsole.bind(console), request, { ms, onCall });
      return { call, result };
    });
  }
});

function reasonOf(result: CallResult<unknown>): string {
  return result.ok ? "OK" : result.failure.reason;
}

/** Waits until the controller is done with so many calls that ended like that, whatever their callers saw. */
async function served(deployment: Deployment, reasons: readonly string[], count: number): Promise<void> {
  const ended = async (reason: string): Promise<number> =>
    deployment.metric(`spicegate_rpc_seconds_count{method="GetSpiceConsole",reason="${reason}"}`);
  const all = async (): Promise<number> => (await Promise.all(reasons.map(ended))).reduce((sum, n) => sum + n, 0);
  await waitUntil(async () => (await all()) === count, { ms: 5_000, what: `${count} calls to end ${reasons.join()}` });
}
