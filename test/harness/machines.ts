// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { bootSector } from "../../demo/boot-sector.js";
import type { DemoMachine, DisplayKind } from "../../demo/demo-machine.js";
import { defineAndStart, domainXml } from "../../demo/demo-machine.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";

/** Starts one machine for each key, all at the same time. */
export async function startMachines<Name extends string>(
  libvirtd: PrivateLibvirtd,
  displays: Readonly<Record<Name, readonly DisplayKind[]>>,
): Promise<Record<Name, DemoMachine>> {
  const names = Object.keys(displays) as Name[];
  const machines = await Promise.all(
    names.map(async (name) => [name, await defineAndStart(libvirtd, { name, displays: displays[name] })] as const),
  );
  return Object.fromEntries(machines) as Record<Name, DemoMachine>;
}

/**
 * Moves a running machine to another libvirtd without stopping it; it is defined there afterwards and here no more. Its
 * disk stays where it is: both run as the same user.
 */
export async function migrateLive({ uuid }: DemoMachine, from: PrivateLibvirtd, to: PrivateLibvirtd): Promise<void> {
  const how = ["--live", "--persistent", "--undefinesource", "--unsafe"];
  const socket = `unix://${to.folder}/run/${uuid}`;
  await from.virsh("migrate", ...how, uuid, to.uri, "--migrateuri", socket);
}

/** What gives a machine a channel for sound in each direction and one for USB. */
const SOUND_AND_USB = `<controller type='usb' model='qemu-xhci'/><redirdev bus='usb' type='spicevmc'/>
  <sound model='ich6'/>`;

/** Starts a machine that offers sound and USB redirection too. */
export async function startRichMachine(libvirtd: PrivateLibvirtd, name: string): Promise<DemoMachine> {
  const uuid = randomUUID();
  const image = await libvirtd.addImage(`${uuid}.img`, bootSector(name));
  const xml = domainXml({ name, uuid, displays: ["spice-none"], image, kvm: libvirtd.kvm });
  await libvirtd.define(xml.replace("<controller type='usb' model='none'/>", SOUND_AND_USB));
  await libvirtd.virsh("start", uuid);
  return { name, uuid };
}

/** Ends machines and forgets them; in whatever state they are, gone ones too. */
export async function discardMachines(libvirtd: PrivateLibvirtd, machines: Iterable<DemoMachine>): Promise<void> {
  const ignore = (): undefined => undefined;
  await Promise.all(
    Array.from(machines, async ({ uuid }) => {
      await libvirtd.virsh("destroy", uuid).catch(ignore);
      await libvirtd.virsh("undefine", uuid, "--managed-save").catch(ignore);
    }),
  );
}
