// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chown, mkdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import type { Part } from "../src/lib/lifecycle.js";
import { ChildProgram } from "./child-program.js";
import type { PortBlock } from "./ports.js";
import { reservePortBlock } from "./ports.js";
import { bringCapabilities, keepCapabilities, KEPT_CAPABILITIES } from "./qemu-capabilities.js";
import { createRunFolder, removeRunFolder } from "./run-folder.js";
import { giveTo, hypervisorUser, makeFolderFor } from "./service-user.js";
import { makeSpiceCertificate } from "./spice-certificate.js";

/** What may be chosen. */
export interface PrivateLibvirtdOptions {
  /** Where its log goes; by default into its own folder, which the stop removes. */
  readonly logFile?: string;
  /** Lets machines have TLS displays, with a certificate made for it (needs openssl). */
  readonly spiceTls?: boolean;
  /** Emulates guests even where they could use KVM, which inside a virtual machine spends seconds on a BIOS. */
  readonly emulated?: boolean;
  /** Where what it finds out about QEMU is kept for the next one, if not as usual. */
  readonly capabilities?: string;
  /** Told what takes long. */
  readonly progress?: (text: string) => void;
}

const XDG_FOLDERS = ["config", "cache", "data", "run"] as const;
const VIRSH_MS = 30_000;
const MAX_VIRSH_OUTPUT = 16 * 1024 * 1024;
// The longest path that libvirt makes for a unix socket below its configuration, and what the kernel takes at most.
const LONGEST_SOCKET = "config/libvirt/qemu/lib/domain-10000-twenty-characters-ok/monitor.sock";
const MAX_SOCKET_PATH = 107;

/**
 * A libvirtd of our own, as an unprivileged user (as root: nobody), with folders of its own, reached only through its
 * socket: to define, start and kill machines without touching the machine's own libvirt. Its guests outlive it on
 * `kill`, and the next `start` finds them; `stop` ends them too, removes everything, and is safe twice.
 */
export class PrivateLibvirtd implements Part {
  readonly #options: PrivateLibvirtdOptions;
  #folder: string | undefined;
  #ports: PortBlock | undefined;
  #daemon: ChildProgram | undefined;
  #kvm = false;

  constructor(options: PrivateLibvirtdOptions = {}) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const first = this.#folder === undefined;
    this.#folder ??= await this.#createFolders();
    this.#daemon ??= this.#createDaemon(this.#folder);
    await this.#daemon.start();
    if (first) await this.#tryQemu(this.#folder);
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = undefined;
    if (this.#folder !== undefined) await removeRunFolder(this.#folder);
    this.#folder = undefined;
    this.#ports?.release();
  }

  /** The libvirt URI of its socket. */
  get uri(): string {
    return `qemu:///session?socket=${this.folder}/run/libvirt/libvirt-sock`;
  }

  /** The folder that holds all of it; gone after the stop. Throws before the start. */
  get folder(): string {
    if (this.#folder === undefined) throw new Error("libvirtd has not been started");
    return this.#folder;
  }

  /** The pid of the daemon. Throws when it does not run. */
  get pid(): number {
    return this.program.pid;
  }

  /** The daemon's process: its log, its end. Throws before the start and after the stop. */
  get program(): ChildProgram {
    if (!this.#daemon) throw new Error("libvirtd has not been started");
    return this.#daemon;
  }

  /** Whether guests use KVM; else they are emulated. */
  get kvm(): boolean {
    return this.#kvm;
  }

  /** Sends a signal to the daemon alone; guests go on. */
  kill(signal: NodeJS.Signals): void {
    this.#daemon?.kill(signal);
  }

  /** Runs one virsh command on this libvirtd and returns what it prints. Throws with virsh's own words. */
  async virsh(...args: readonly string[]): Promise<string> {
    const options = { timeout: VIRSH_MS, maxBuffer: MAX_VIRSH_OUTPUT, killSignal: "SIGKILL" } as const;
    const { stdout } = await promisify(execFile)("virsh", ["--quiet", "--connect", this.uri, ...args], options);
    return stdout;
  }

  /** Defines a domain, or a network with "net-define", from XML. */
  async define(xml: string, command: "define" | "net-define" = "define"): Promise<void> {
    // virsh reads files only, and what Node gives it as standard input is a socket, which cannot be opened as one.
    const file = join(this.folder, `${randomUUID()}.xml`);
    await writeFile(file, xml, { mode: 0o600 });
    await this.virsh(command, file).finally(() => rm(file));
  }

  /** Puts a disk image where a guest can read it, and returns its path. */
  async addImage(name: string, content: Buffer): Promise<string> {
    const file = join(this.folder, "images", basename(name));
    const user = hypervisorUser();
    await writeFile(file, content, { mode: 0o600 });
    if ("uid" in user) await chown(file, user.uid, user.gid);
    return file;
  }

  /** The first question makes libvirt try out each QEMU it knows nothing of; better now than under somebody's deadline. */
  async #tryQemu(folder: string): Promise<void> {
    this.#options.progress?.("libvirt tries out what QEMU can do; the first time that takes a few seconds");
    const canUseKvm = (await this.virsh("capabilities")).includes("<domain type='kvm'");
    this.#kvm = canUseKvm && this.#options.emulated !== true;
    // Not being able to keep it costs the next one these seconds.
    await keepCapabilities(join(folder, "cache"), this.#kept).catch(() => undefined);
  }

  get #kept(): string {
    return this.#options.capabilities ?? KEPT_CAPABILITIES;
  }

  async #createFolders(): Promise<string> {
    const folder = createRunFolder();
    try {
      checkSocketPath(folder);
      const user = hypervisorUser();
      for (const name of ["home", "images", "tls", ...XDG_FOLDERS]) await makeFolderFor(user, join(folder, name));
      this.#ports = await reservePortBlock();
      await writeConfig(folder, this.#ports, this.#options.spiceTls === true);
      if (this.#options.spiceTls === true) await makeSpiceCertificate(join(folder, "tls"));
      await bringCapabilities(this.#kept, join(folder, "cache"));
      for (const name of ["config", "cache", "tls"]) await giveTo(user, join(folder, name));
      return folder;
    } catch (error) {
      await removeRunFolder(folder);
      this.#ports?.release();
      throw error;
    }
  }

  #createDaemon(folder: string): ChildProgram {
    return new ChildProgram({
      name: "libvirtd",
      command: "/usr/sbin/libvirtd",
      args: [],
      home: join(folder, "home"),
      logFile: this.#options.logFile ?? join(folder, "libvirtd.log"),
      env: {
        XDG_CONFIG_HOME: join(folder, "config"),
        XDG_CACHE_HOME: join(folder, "cache"),
        XDG_DATA_HOME: join(folder, "data"),
        XDG_RUNTIME_DIR: join(folder, "run"),
      },
      user: hypervisorUser(),
      ready: () => accepts(join(folder, "run/libvirt/libvirt-sock")),
      // It has nothing to save, and with a stopped guest it may take its time.
      stopSteps: [{ signal: "SIGTERM", ms: 2_000 }],
    });
  }
}

/** Who reaches the socket has passed the folder's permissions: that is the whole authentication. */
async function writeConfig(folder: string, ports: PortBlock, spiceTls: boolean): Promise<void> {
  const config = join(folder, "config", "libvirt");
  await mkdir(config, { mode: 0o700 });
  const daemon = [
    'auth_unix_ro = "none"',
    'auth_unix_rw = "none"',
    // By the machine's own uuid two of them would be one host, and no guest moves to the host that it is on.
    `host_uuid = "${randomUUID()}"`,
  ];
  await writeFile(join(config, "libvirtd.conf"), `${daemon.join("\n")}\n`);
  const lines = [
    // Guests log to files, else libvirtd would start a virtlogd beside it.
    'stdio_handler = "file"',
    // libvirtd tries a port before QEMU takes it; two of them with the same ports could both find it free.
    `remote_display_port_min = ${ports.first}`,
    `remote_display_port_max = ${ports.last}`,
    `spice_tls = ${spiceTls ? 1 : 0}`,
    `spice_tls_x509_cert_dir = "${folder}/tls"`,
  ];
  await writeFile(join(config, "qemu.conf"), `${lines.join("\n")}\n`);
}

function checkSocketPath(folder: string): void {
  if (join(folder, LONGEST_SOCKET).length <= MAX_SOCKET_PATH) return;
  throw new Error(`${folder} is too long a path for unix sockets below it; set TMPDIR to a shorter one, such as /tmp`);
}

/** Whether somebody listens on the socket; the file alone may be that of a daemon that was killed. */
function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
