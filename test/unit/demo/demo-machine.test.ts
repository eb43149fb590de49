// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { XMLParser } from "fast-xml-parser";
import type { DomainOptions } from "../../../demo/demo-machine.js";
import { domainXml } from "../../../demo/demo-machine.js";

const UUID = "3c1f1e0a-7b7f-4d4e-9d58-0a4c3e0d9a11";
const PLAIN: DomainOptions = { name: "plain", uuid: UUID, displays: ["spice-none"] };

describe("domainXml", () => {
  it("keeps names apart from markup", () => {
    const hostile = `</name>&'"<x>`;
    const xml = domainXml({ ...PLAIN, name: hostile, owner: { name: hostile, project: hostile, user: hostile } });
    const { domain } = parse(xml);
    expect(domain.name).to.equal(hostile);
    expect(domain.metadata.instance).to.deep.include({ name: hostile, project: hostile, user: hostile });
    expect(domain.metadata.instance).to.have.property("@xmlns", "urn:spicegate:instance:1");
  });

  it("lists displays in the order they are given", () => {
    const { graphics } = parse(domainXml({ ...PLAIN, displays: ["vnc-tcp", "spice-none"] })).domain.devices;
    expect(graphics.map((display) => display["@type"])).to.deep.equal(["vnc", "spice"]);
  });

  it("uses KVM only when told to, and a disk only when there is an image", () => {
    expect(domainXml(PLAIN))
      .to.match(/^<domain type='qemu'>/)
      .and.not.contain("<disk");
    const full = domainXml({ ...PLAIN, kvm: true, image: "/images/x.img" });
    expect(full)
      .to.match(/^<domain type='kvm'>/)
      .and.contain("<source file='/images/x.img'/>");
  });

  it("has no owner unless there is one", () => {
    expect(domainXml(PLAIN)).to.not.contain("metadata");
  });
});

interface ParsedDomain {
  readonly domain: {
    readonly name: string;
    readonly metadata: { readonly instance: Record<string, string> };
    readonly devices: { readonly graphics: readonly { readonly "@type": string }[] };
  };
}

function parse(xml: string): ParsedDomain {
  const isArray = (name: string): boolean => name === "graphics";
  return new XMLParser({ ignoreAttributes: false, attributeNamePrefix: "@", isArray }).parse(xml) as ParsedDomain;
}
