// SPDX-License-Identifier: Apache-2.0
// A program that starts what the demo starts and then waits for ever: something to kill -9. Prints one line when ready.
import { defineAndStart } from "../../../demo/demo-machine.js";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";

const postgres = new EmbeddedPostgres();
const libvirtd = new PrivateLibvirtd();
await Promise.all([postgres.start(), libvirtd.start()]);
await defineAndStart(libvirtd, { name: "abandoned", displays: ["spice-none"] });
process.stdout.write("ready\n");
process.stdin.resume();
