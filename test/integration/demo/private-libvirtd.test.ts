// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DemoMachine, DisplayKind } from "../../../demo/demo-machine.js";
import { defineAndStart, defineLoopbackNetwork } from "../../../demo/demo-machine.js";
import { bannerLines } from "../../../demo/boot-sector.js";
import { PrivateLibvirtd } from "../../../demo/private-libvirtd.js";
import { isAlive, processesOf } from "../../../demo/process-table.js";
import { waitUntil } from "../../../demo/wait-until.js";

const START_MS = 40_000;
const SCREEN_MS = 60_000;
const MARK = "<!-- kept -->\n";

describe("PrivateLibvirtd", function () {
  this.timeout(START_MS);
  let libvirtd: PrivateLibvirtd;

  before(async () => {
    libvirtd = new PrivateLibvirtd({ spiceTls: true });
    await libvirtd.start();
    await defineLoopbackNetwork(libvirtd);
  });

  after(async () => {
    const { folder } = libvirtd;
    expect(processesOf(folder).length, "it and its guests").to.be.greaterThan(1);
    await libvirtd.stop();
    expect(processesOf(folder)).to.be.empty;
    expect(existsSync(folder)).to.be.false;
    await libvirtd.stop();
  });

  it("does not run as root, nor do its guests", async () => {
    await startMachine("spice-none");
    for (const pid of processesOf(libvirtd.folder)) expect(userOf(pid)).to.not.equal(0);
  });

  it("has no companion daemon that would outlive it", () => {
    const programs = processesOf(libvirtd.folder).map(programOf);
    expect(programs.filter((name) => !/\/(libvirtd|qemu-system-x86_64)$/.test(name))).to.be.empty;
  });

  it("keeps its guests through kill -9, and its successor finds them", async () => {
    const machine = await startMachine("spice-none");
    const { pid } = libvirtd;
    libvirtd.kill("SIGKILL");
    await libvirtd.start();
    expect(isAlive(pid)).to.be.false;
    expect((await libvirtd.virsh("domstate", machine.uuid)).trim()).to.equal("running");
  });

  it("goes on after it was frozen", async () => {
    libvirtd.kill("SIGSTOP");
    const waiting = libvirtd.virsh("list");
    libvirtd.kill("SIGCONT");
    expect(await waiting).to.be.a("string");
  });

  it("passes on virsh's own words when something fails", async () => {
    const error = await libvirtd.virsh("start", "no-such-machine").catch(String);
    expect(error).to.contain("failed to get domain 'no-such-machine'");
  });

  const ATTRIBUTES: Readonly<Record<DisplayKind, RegExp>> = {
    "spice-none": /type='spice'>\s*<listen type='none'/,
    "spice-socket": /type='spice'>\s*<listen type='socket' socket='\//,
    "spice-tcp": /type='spice' port='\d+' .*\n\s*<listen type='address' address='127.0.0.1'/,
    "spice-tls": /type='spice' tlsPort='\d+' /,
    "spice-network": /type='spice' port='\d+' .*\n\s*<listen type='network' address='127.0.0.1'/,
    "vnc-none": /type='vnc'>\s*<listen type='none'/,
    "vnc-tcp": /type='vnc' port='\d+' /,
  };
  for (const kind of Object.keys(ATTRIBUTES) as DisplayKind[]) {
    it(`runs a machine with a display of kind ${kind}`, async () => {
      const { uuid } = await startMachine(kind);
      expect(await libvirtd.virsh("dumpxml", uuid)).to.match(ATTRIBUTES[kind]);
    });
  }

  it("runs a machine with no display and one with two", async () => {
    const none = await defineAndStart(libvirtd, { name: "no-display", displays: [] });
    expect(await libvirtd.virsh("dumpxml", none.uuid)).to.not.contain("<graphics");
    const two = await defineAndStart(libvirtd, { name: "two-displays", displays: ["vnc-none", "spice-none"] });
    expect((await libvirtd.virsh("dumpxml", two.uuid)).match(/<graphics type='\w+'/g)).to.have.length(2);
  });

  it("shows the machine's banner and echoes keys", async () => {
    const machine = await startMachine("spice-none");
    const [banner] = bannerLines(machine.name);
    await screenShows(machine, banner!);
    await libvirtd.virsh("send-key", machine.uuid, "KEY_H");
    await screenShows(machine, "\nh\n");
    for (const key of ["KEY_BACKSPACE", "KEY_K", "KEY_ENTER", "KEY_UP", "KEY_O"]) {
      await libvirtd.virsh("send-key", machine.uuid, key);
    }
    await screenShows(machine, "\nk\no\n");
  });

  it("learns from an earlier one what QEMU can do", async () => {
    const kept = mkdtempSync(join(tmpdir(), "spicegate-kept-"));
    try {
      await runOnce(kept);
      const files = readdirSync(kept).map((name) => join(kept, name));
      expect(files, "one for each QEMU at least").to.not.be.empty;
      for (const file of files) appendFileSync(file, MARK);
      await runOnce(kept);
      // A libvirtd that asks again writes the files anew.
      for (const file of files) expect(readFileSync(file, "utf8")).to.contain(MARK);
    } finally {
      rmSync(kept, { recursive: true });
    }
  });

  async function runOnce(capabilities: string): Promise<void> {
    const other = new PrivateLibvirtd({ capabilities });
    try {
      await other.start();
    } finally {
      await other.stop();
    }
  }

  async function startMachine(kind: DisplayKind): Promise<DemoMachine> {
    machines += 1;
    return defineAndStart(libvirtd, { name: `machine-${machines}-${kind}`, displays: [kind] });
  }

  let machines = 0;

  async function screenShows(machine: DemoMachine, text: string): Promise<void> {
    const shows = async (): Promise<boolean> => (await screenOf(machine)).includes(text);
    await waitUntil(shows, { ms: SCREEN_MS, what: `${JSON.stringify(text)} on the screen` });
  }

  /** The text on the machine's screen, read from the PC's text memory: a character and a colour for each place. */
  async function screenOf(machine: DemoMachine): Promise<string> {
    const dump = await libvirtd.virsh("qemu-monitor-command", "--hmp", machine.uuid, "xp /2000xh 0xb8000");
    const cells = [...dump.matchAll(/0x([0-9a-f]{4})\b/g)].map(([, cell]) => parseInt(cell!, 16) & 0xff);
    const screen = String.fromCharCode(...cells);
    return screen.replace(/.{80}/gs, (line) => `${line.trimEnd()}\n`);
  }
});

function userOf(pid: number): number {
  return statSync(`/proc/${pid}`).uid;
}

function programOf(pid: number): string {
  return readlinkSync(`/proc/${pid}/exe`);
}
