// SPDX-License-Identifier: Apache-2.0
// A program that starts what the demo starts and then waits for ever: something to kill -9. When all run, it prints the
// pids of Postgres, libvirtd and a guest.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defineAndStart } from "../../../demo/demo-machine.js";
import { EmbeddedPostgres } from "../../../demo/embedded-postgres.js";
import { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";

const postgres = new EmbeddedPostgres();
const libvirtd = new PrivateLibvirtd();
await Promise.all([postgres.start(), libvirtd.start()]);
await defineAndStart(libvirtd, { name: "abandoned", displays: ["spice-none"] });
const guest = Number(readFileSync(join(libvirtd.folder, "run/libvirt/qemu/run/abandoned.pid"), "utf8"));
process.stdout.write(`${JSON.stringify([postgres.pid, libvirtd.pid, guest])}\n`);
process.stdin.resume();
