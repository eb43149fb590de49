// SPDX-License-Identifier: Apache-2.0
import { readXml } from "../xml-element.js";

/** The kinds of display a host can give its machines. */
export interface DisplayCapabilities {
  readonly spice: boolean;
  readonly vnc: boolean;
}

/** Where libvirt does not say, a kind counts as present: a wrong yes is found out later, a wrong no would lock people out. */
export const UNKNOWN_CAPABILITIES: DisplayCapabilities = { spice: true, vnc: true };

/** Reads the graphics types in libvirt's domain capabilities. Throws XmlError. */
export function readDisplayCapabilities(xml: string): DisplayCapabilities {
  const graphics = readXml(xml).child("devices")?.child("graphics");
  if (graphics?.attribute("supported") === "no") return { spice: false, vnc: false };
  const types = graphics?.all("enum").find((element) => element.attribute("name") === "type");
  if (!types) return UNKNOWN_CAPABILITIES;
  const values = types.all("value").map((value) => value.text);
  return { spice: values.includes("spice"), vnc: values.includes("vnc") };
}
