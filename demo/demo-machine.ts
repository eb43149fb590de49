// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { bootSector } from "./boot-sector.js";
import type { PrivateLibvirtd } from "./private-libvirtd.js";

/** The network that a display of kind "spice-network" listens on; its bridge is the loopback device. */
export const LOOPBACK_NETWORK = "spicegate-loopback";

/** What each kind of display is in a domain's XML. One of SPICE and one of VNC at most fit into one machine. */
const GRAPHICS = {
  "spice-none": "<graphics type='spice'><listen type='none'/></graphics>",
  "spice-socket": "<graphics type='spice'><listen type='socket'/></graphics>",
  "spice-tcp": "<graphics type='spice' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics>",
  // Only where libvirtd was started with spiceTls.
  "spice-tls":
    "<graphics type='spice' autoport='yes' defaultMode='secure'><listen type='address' address='127.0.0.1'/></graphics>",
  // Only after defineLoopbackNetwork.
  "spice-network": `<graphics type='spice' autoport='yes'><listen type='network' network='${LOOPBACK_NETWORK}'/></graphics>`,
  "vnc-none": "<graphics type='vnc'><listen type='none'/></graphics>",
  "vnc-tcp": "<graphics type='vnc' autoport='yes'><listen type='address' address='127.0.0.1'/></graphics>",
} as const;

/** A kind of display. */
export type DisplayKind = keyof typeof GRAPHICS;

/** Whom a machine's metadata names as its owner. */
export interface MachineOwner {
  readonly name: string;
  readonly project: string;
  readonly user: string;
}

/** A machine as its XML needs it. */
export interface DomainOptions {
  readonly name: string;
  readonly uuid: string;
  /** In the order in which they stand in the XML; may be empty. */
  readonly displays: readonly DisplayKind[];
  readonly owner?: MachineOwner;
  /** The file of the disk it boots from; without one it waits in its BIOS. */
  readonly image?: string;
  readonly kvm?: boolean;
}

/** What a caller chooses; the rest is made up. */
export interface MachineOptions extends Omit<DomainOptions, "uuid" | "image" | "kvm"> {
  readonly uuid?: string;
}

/** A machine that was defined. */
export interface DemoMachine {
  readonly name: string;
  readonly uuid: string;
}

/** The XML of a tiny PC: 32 MiB, no network, one IDE disk. Texts are escaped. */
export function domainXml(options: DomainOptions): string {
  const { name, uuid, displays, owner, image, kvm = false } = options;
  return `<domain type='${kvm ? "kvm" : "qemu"}'>
  <name>${escapeXml(name)}</name>
  <uuid>${uuid}</uuid>
  ${owner ? ownerXml(owner) : ""}
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <on_reboot>restart</on_reboot>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${image === undefined ? "" : diskXml(image)}
    ${displays.map((kind) => GRAPHICS[kind]).join("\n    ")}
    <video><model type='${displays.length === 0 ? "none" : "vga"}'/></video>
  </devices>
</domain>
`;
}

/** Defines a machine with a boot sector of its own and returns it, not started. */
export async function defineMachine(libvirtd: PrivateLibvirtd, options: MachineOptions): Promise<DemoMachine> {
  const uuid = options.uuid ?? randomUUID();
  const image = await libvirtd.addImage(`${uuid}.img`, bootSector(options.name));
  await libvirtd.define(domainXml({ ...options, uuid, image, kvm: libvirtd.kvm }));
  return { name: options.name, uuid };
}

/** Defines a machine and starts it; it runs when this returns, its screen comes a few seconds later. */
export async function defineAndStart(libvirtd: PrivateLibvirtd, options: MachineOptions): Promise<DemoMachine> {
  const machine = await defineMachine(libvirtd, options);
  await libvirtd.virsh("start", machine.uuid);
  return machine;
}

/** A network for displays that listen on one: it adds nothing to the machine, since its bridge is the loopback device. */
export async function defineLoopbackNetwork(libvirtd: PrivateLibvirtd): Promise<void> {
  const xml = `<network><name>${LOOPBACK_NETWORK}</name><forward mode='bridge'/><bridge name='lo'/></network>`;
  await libvirtd.define(xml, "net-define");
  await libvirtd.virsh("net-start", LOOPBACK_NETWORK);
}

function ownerXml({ name, project, user }: MachineOwner): string {
  const fields = `<name>${escapeXml(name)}</name><project>${escapeXml(project)}</project><user>${escapeXml(user)}</user>`;
  return `<metadata><instance xmlns="urn:spicegate:instance:1">${fields}</instance></metadata>`;
}

function diskXml(image: string): string {
  const source = `<driver name='qemu' type='raw'/><source file='${escapeXml(image)}'/>`;
  return `<disk type='file' device='disk'>${source}<target dev='hda' bus='ide'/></disk>`;
}

function escapeXml(text: string): string {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;" } as const;
  return text.replace(/[&<>'"]/g, (character) => entities[character as keyof typeof entities]);
}
