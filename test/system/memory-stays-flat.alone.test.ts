// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { Deployment } from "../harness/deployment.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";
import { openDescriptors, residentMiB } from "../harness/process-facts.js";

const CALLS = 20_000;
const SAMPLES = 400;
// On a machine that is busy otherwise it makes do with fewer.
const MOST_MS = 30_000;
// Little enough for garbage to be collected often; a leak of 1 KiB a console would not fit.
const HEAP_MIB = 48;
const GROWTH_MIB = 8;
const GROWTH_DESCRIPTORS = 4;

describe("memory stays flat", function () {
  this.timeout(90_000);
  let deployment: Deployment;
  let machine: DemoMachine;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "memory", displays: ["spice-tcp"] });
    const quiet = { log: { level: "warn" } };
    deployment = await Deployment.start({
      libvirtUri: libvirtd.uri,
      controller: quiet,
      agent: quiet,
      heapMiB: HEAP_MIB,
    });
    await deployment.knows(machine.uuid);
  });
  after(() => deployment.stop());

  it("in controller and agent, and so do their descriptors, over thousands of consoles", async () => {
    const pids = [deployment.controller.pid, deployment.agent!.pid];
    const samples: { memory: number[]; descriptors: number[] }[] = [];
    const load = Load.start(deployment, machine.uuid, { callers: 32 });
    const end = performance.now() + MOST_MS;
    try {
      while (samples.length < SAMPLES && performance.now() < end) {
        await load.sees("OK", CALLS / SAMPLES);
        samples.push({ memory: pids.map(residentMiB), descriptors: pids.map(openDescriptors) });
      }
    } finally {
      await load.stop();
    }
    await load.endsWithOnly();
    for (const which of [0, 1]) {
      const memory = samples.map((sample) => sample.memory[which]!);
      const descriptors = samples.map((sample) => sample.descriptors[which]!);
      // The lowest of many samples is what garbage collection does not get rid of.
      expect(lowest(memory, 0.75, 1) - lowest(memory, 0.25, 0.5), "MiB").to.be.below(GROWTH_MIB);
      expect(lowest(descriptors, 0.75, 1) - lowest(descriptors, 0.25, 0.5)).to.be.below(GROWTH_DESCRIPTORS);
    }
  });
});

/** The lowest of the values between two points of the series, given as parts of it. */
function lowest(values: readonly number[], from: number, to: number): number {
  return Math.min(...values.slice(Math.floor(values.length * from), Math.ceil(values.length * to)));
}
