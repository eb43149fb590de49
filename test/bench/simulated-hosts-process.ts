// SPDX-License-Identifier: Apache-2.0
// A process full of simulated hosts; it answers every question with how many there are.
import type { HostRange, SimulatedHostsOptions } from "../harness/simulated-hosts.js";
import { SimulatedHosts } from "../harness/simulated-hosts.js";
import { announceReady, childOptions } from "./bench-process.js";
import type { FleetCount } from "./fleet.js";

const hosts = new SimulatedHosts(childOptions() as SimulatedHostsOptions);

process.on("message", (range: HostRange) => {
  hosts.add(range);
  process.send?.({ hosts: hosts.size, connected: hosts.connected } satisfies FleetCount);
});
announceReady();
