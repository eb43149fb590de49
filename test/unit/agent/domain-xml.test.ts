// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect } from "chai";
import { readDomainXml } from "../../../agent/domain-xml.js";
import type { DomainDisplay } from "../../../agent/hypervisor.js";
import { XmlError } from "../../../agent/xml-element.js";
import { MAX_DOMAIN_XML_BYTES } from "../../../src/lib/limits.js";

const NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1";

function displaysOf(devices: string): readonly DomainDisplay[] {
  return readDomainXml(`<domain id='1'><devices>${devices}</devices></domain>`).displays;
}

function ownerOf(metadata: string): unknown {
  return readDomainXml(`<domain><metadata>${metadata}</metadata></domain>`).owner;
}

describe("readDomainXml", () => {
  it("reads a live domain of QEMU", () => {
    const xml = readFileSync("test/fixtures/libvirt/qemu-live.xml", "utf8");
    expect(readDomainXml(xml)).to.deep.equal({
      name: "real-2",
      active: true,
      displays: [
        { kind: "spice", listen: "address", port: 5902, address: "127.0.0.1" },
        { kind: "vnc", listen: "address", port: 5903, address: "127.0.0.1" },
      ],
      owner: {
        name: "web-1 & friends",
        projectId: "1e2d3c4b5a69788796a5b4c3d2e1f002",
        userId: "0d1c8a9f7d524ba1b0e2b9e7f3a3f001",
      },
    });
  });

  it("sees whether a hypervisor process stands behind it", () => {
    expect(readDomainXml("<domain/>")).to.deep.equal({ name: "", active: false, displays: [] });
    expect(readDomainXml("<domain id='3'/>").active).to.equal(true);
  });

  it("keeps the displays in their order, with every kind", () => {
    const kinds = displaysOf("<graphics type='vnc'/><graphics type='spice'/><graphics type='sdl'/><graphics/>");
    expect(kinds.map(({ kind }) => kind)).to.deep.equal(["vnc", "spice", "other", "other"]);
  });

  it("takes the listen kind from the first listen element", () => {
    for (const listen of ["address", "network", "socket", "none"] as const) {
      expect(displaysOf(`<graphics type='spice'><listen type='${listen}'/></graphics>`)).to.deep.equal([
        { kind: "spice", listen },
      ]);
    }
    const two = displaysOf(
      "<graphics type='spice' listen='::'><listen type='none'/><listen type='address'/></graphics>",
    );
    expect(two[0]?.listen).to.equal("none");
    expect(displaysOf("<graphics type='spice'><listen type='vsock'/></graphics>")[0]?.listen).to.equal("unknown");
    expect(displaysOf("<graphics type='spice'><listen/></graphics>")[0]?.listen).to.equal("unknown");
  });

  it("falls back to the attributes of older libvirts", () => {
    expect(displaysOf("<graphics type='spice' port='5900' listen='0.0.0.0'/>")[0]?.listen).to.equal("address");
    expect(displaysOf("<graphics type='vnc' socket='/run/vnc.sock'/>")[0]?.listen).to.equal("socket");
    expect(displaysOf("<graphics type='spice'/>")[0]?.listen).to.equal("address");
  });

  it("says where a display listens, by the same element or attributes", () => {
    const place = (inside: string, attributes = ""): unknown => {
      const [display] = displaysOf(`<graphics type='spice' ${attributes}>${inside}</graphics>`);
      return { socket: display?.socket, address: display?.address };
    };
    const none = { socket: undefined, address: undefined };
    expect(place("<listen type='socket' socket='/run/s'/>")).to.deep.equal({ ...none, socket: "/run/s" });
    expect(place("", "socket='/run/s'")).to.deep.equal({ ...none, socket: "/run/s" });
    expect(place("<listen type='socket'/>", "socket='/run/s'")).to.deep.equal(none);
    expect(place("<listen type='address' address='::'/>")).to.deep.equal({ ...none, address: "::" });
    expect(place("<listen type='network' network='n' address='192.0.2.1'/>")).to.deep.equal({
      ...none,
      address: "192.0.2.1",
    });
    expect(place("", "listen='0.0.0.0'")).to.deep.equal({ ...none, address: "0.0.0.0" });
    expect(place("<listen type='none' address='x' socket='y'/>", "listen='0.0.0.0'")).to.deep.equal(none);
  });

  it("takes absent, 0, -1 and impossible ports for none", () => {
    for (const port of ["", "port=''", "port='0'", "port='-1'", "port='65536'", "port='99999999'", "port='5900x'"]) {
      expect(displaysOf(`<graphics type='spice' ${port}/>`), port).to.deep.equal([
        { kind: "spice", listen: "address" },
      ]);
    }
    expect(displaysOf("<graphics type='spice' port='-1' tlsPort='5901'/>")[0]).to.deep.equal({
      kind: "spice",
      listen: "address",
      tlsPort: 5901,
    });
    expect(displaysOf("<graphics type='spice' port='65535' tlsPort='-1'/>")[0]?.port).to.equal(65_535);
  });

  it("is not fooled by graphics elsewhere", () => {
    const fake = "<graphics type='spice' port='1'/>";
    const xml = `<domain id='1' xmlns:q='urn:q'>${fake}<metadata>${fake}<devices>${fake}</devices></metadata>
      <devices><!--${fake}--><q:graphics type='spice' port='1'/><channel>${fake}</channel><x a="${"<graphics type='spice'/>".replaceAll("<", "&lt;")}"/>
      <![CDATA[${fake}]]><graphics type='spice' port='5900'/></devices></domain>`;
    expect(readDomainXml(xml).displays).to.deep.equal([{ kind: "spice", listen: "address", port: 5900 }]);
  });

  it("reads Nova's owner by namespace, not by prefix", () => {
    for (const version of ["1.0", "1.1"]) {
      const namespace = `http://openstack.org/xmlns/libvirt/nova/${version}`;
      const inner =
        "<n:name>a&lt;b</n:name><n:owner><n:user uuid='u'>x</n:user><n:project uuid='p'>y</n:project></n:owner>";
      expect(ownerOf(`<n:instance xmlns:n='${namespace}'>${inner}</n:instance>`)).to.deep.equal({
        name: "a<b",
        projectId: "p",
        userId: "u",
      });
    }
    expect(ownerOf("<nova:instance xmlns:nova='urn:other'><nova:name>x</nova:name></nova:instance>")).to.equal(
      undefined,
    );
    expect(ownerOf("<nova:instance><nova:name>x</nova:name></nova:instance>")).to.equal(undefined);
  });

  it("reads our own owner, which counts before Nova's", () => {
    const ours =
      "<s:instance xmlns:s='urn:spicegate:instance:1'><s:name> n </s:name><s:project>p</s:project></s:instance>";
    expect(ownerOf(`<instance xmlns='${NOVA}'><name>nova</name></instance>${ours}`)).to.deep.equal({
      name: "n",
      projectId: "p",
      userId: "",
    });
  });

  it("leaves what an owner element lacks empty", () => {
    expect(ownerOf(`<instance xmlns='${NOVA}'/>`)).to.deep.equal({ name: "", projectId: "", userId: "" });
    expect(ownerOf("")).to.equal(undefined);
  });

  it("refuses XML over the bound, counted in bytes", () => {
    const padded = (text: string, bytes: number): string => `<domain>${text.repeat(bytes)}</domain>`;
    expect(() => readDomainXml(padded("a", MAX_DOMAIN_XML_BYTES))).to.throw(XmlError, /larger/);
    expect(() => readDomainXml(padded("€", MAX_DOMAIN_XML_BYTES / 3))).to.throw(XmlError, /larger/);
    expect(readDomainXml(padded("a", MAX_DOMAIN_XML_BYTES - 100)).active).to.equal(false);
    expect(readDomainXml(padded("€", MAX_DOMAIN_XML_BYTES / 3 - 100)).active).to.equal(false);
  });
});
