// SPDX-License-Identifier: Apache-2.0
import { MAX_DOMAIN_XML_BYTES } from "../src/lib/limits.js";
import type { DomainDisplay, DomainOwner, ListenKind } from "./hypervisor.js";
import type { XmlElement } from "./xml-element.js";
import { readXml, XmlError } from "./xml-element.js";

/** Nova's owner element, in the spellings it has had. */
const NOVA = ["http://openstack.org/xmlns/libvirt/nova/1.1", "http://openstack.org/xmlns/libvirt/nova/1.0"];
/** Ours, for people without Nova: `<instance xmlns="urn:spicegate:instance:1"><name/><project/><user/></instance>`. */
const SPICEGATE = "urn:spicegate:instance:1";

/** What a domain's XML says that matters here. */
export interface DomainXml {
  readonly name: string;
  /** Whether a hypervisor process stands behind it; the XML of a domain that is off shows what was configured. */
  readonly active: boolean;
  readonly displays: readonly DomainDisplay[];
  readonly owner?: DomainOwner;
}

/** Reads a domain's XML. Throws XmlError where it is too large or no XML. */
export function readDomainXml(xml: string): DomainXml {
  // A UTF-16 unit is at least one byte, so a short text needs no exact count.
  if (xml.length > MAX_DOMAIN_XML_BYTES || (xml.length * 3 > MAX_DOMAIN_XML_BYTES && tooManyBytes(xml))) {
    throw new XmlError(`it is larger than ${MAX_DOMAIN_XML_BYTES} bytes`);
  }
  const domain = readXml(xml);
  const owner = readOwner(domain.child("metadata"));
  return {
    name: domain.child("name")?.text ?? "",
    active: domain.attribute("id") !== undefined,
    displays: (domain.child("devices")?.all("graphics") ?? []).map(readDisplay),
    ...(owner && { owner }),
  };
}

function tooManyBytes(xml: string): boolean {
  return Buffer.byteLength(xml) > MAX_DOMAIN_XML_BYTES;
}

/** One graphics element. Its first listen element counts, as in libvirt; the attributes are how older versions said it. */
function readDisplay(graphics: XmlElement): DomainDisplay {
  const type = graphics.attribute("type");
  const port = readPort(graphics.attribute("port"));
  const tlsPort = readPort(graphics.attribute("tlsPort"));
  const listen = readListen(graphics);
  return {
    kind: type === "spice" || type === "vnc" ? type : "other",
    listen,
    ...(port !== undefined && { port }),
    ...(tlsPort !== undefined && { tlsPort }),
    ...readPlace(graphics, listen),
  };
}

function readListen(graphics: XmlElement): ListenKind {
  const listen = graphics.child("listen");
  if (!listen) return graphics.attribute("socket") === undefined ? "address" : "socket";
  const type = listen.attribute("type");
  switch (type) {
    case "address":
    case "network":
    case "socket":
    case "none":
      return type;
    default:
      return "unknown";
  }
}

/** Where it listens, beyond its ports. */
function readPlace(graphics: XmlElement, listen: ListenKind): Pick<DomainDisplay, "socket" | "address"> {
  const element = graphics.child("listen");
  if (listen === "socket") {
    const socket = element ? element.attribute("socket") : graphics.attribute("socket");
    return socket ? { socket } : {};
  }
  if (listen !== "address" && listen !== "network") return {};
  const address = element ? element.attribute("address") : graphics.attribute("listen");
  return address ? { address } : {};
}

/** A port that is absent, 0 or -1 (not chosen yet) is none. */
function readPort(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port > 0 && port <= 65_535 ? port : undefined;
}

/** The owner by our element where there is one, else by Nova's. */
function readOwner(metadata: XmlElement | undefined): DomainOwner | undefined {
  const ours = metadata?.child("instance", SPICEGATE);
  if (ours) {
    const text = (name: string): string => ours.child(name, SPICEGATE)?.text.trim() ?? "";
    return { name: text("name"), projectId: text("project"), userId: text("user") };
  }
  for (const namespace of NOVA) {
    const instance = metadata?.child("instance", namespace);
    if (instance) return readNovaOwner(instance, namespace);
  }
  return undefined;
}

function readNovaOwner(instance: XmlElement, namespace: string): DomainOwner {
  const owner = instance.child("owner", namespace);
  const uuid = (name: string): string => owner?.child(name, namespace)?.attribute("uuid") ?? "";
  return {
    name: instance.child("name", namespace)?.text.trim() ?? "",
    projectId: uuid("project"),
    userId: uuid("user"),
  };
}
