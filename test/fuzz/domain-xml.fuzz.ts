// SPDX-License-Identifier: Apache-2.0
// What libvirt says of a machine, whose owner may have chosen its name and metadata.
import { expect } from "chai";
import fc from "fast-check";
import { readFileSync } from "node:fs";
import { readDomainXml } from "../../agent/domain-xml.js";
import { readDisplayCapabilities } from "../../agent/libvirt/display-capabilities.js";
import { readXml, XmlError } from "../../agent/xml-element.js";
import { MAX_DOMAIN_XML_BYTES } from "../../src/lib/limits.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { mostly, spoiltText, wordSalad } from "./mutations.js";
import { inTime, outcomeOf } from "./outcome.js";

const MOST_MS = 3_000;
const live = readFileSync("test/fixtures/libvirt/qemu-live.xml", "utf8");
const WORDS = [
  ...["<domain id='1'>", "</domain>", "<devices>", "</devices>", "<metadata>", "</metadata>", "<a/>", "<a>", "</a>"],
  ...["<graphics type='spice' port='5900'", " tlsPort='-1'", ">", "/>", "<listen type='none'/>", "</graphics>"],
  ...[
    " xmlns='urn:spicegate:instance:1'",
    " xmlns:n='u'",
    " xmlns:n#='u'",
    "<a xmlns:n='u'/>",
    "<n:instance>",
    "</n:instance>",
    "<instance",
    "</instance>",
  ],
  ...[
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?xml",
    "?>",
    "<!DOCTYPE x [",
    "&amp;",
    "&#x41;",
    "&#0;",
    "&x;",
    "'",
    '"',
    "=",
  ],
];

/** The part again and again, "#" a new number each time, until there are so many characters. */
function many(part: string, characters: number): string {
  const times = part === "" ? 0 : characters / (part.length + part.split("#").length * 4);
  return Array.from({ length: times }, (_, number) => part.replaceAll("#", String(number))).join("");
}

/** Texts of which two parts are repeated until they are as large as a description may be. */
const salad = wordSalad(WORDS, 4);
const huge = fc.tuple(salad, salad, salad, salad, salad).map(([before, one, between, other, after]) => {
  const half = MAX_DOMAIN_XML_BYTES / 2;
  return before + many(one, half) + between + many(other, half) + after;
});

const display = fc.record({
  kind: fc.constantFrom("spice", "vnc", "other"),
  port: fc.integer({ min: -1, max: 70_000 }),
  listen: fc.constantFrom("none", "address", "network", "socket"),
});
const machine = fc.record({
  name: mostly("vm-1"),
  active: fc.boolean(),
  displays: fc.array(display, { maxLength: 4 }),
});

function escape(text: string): string {
  return text.replace(/[&<>'"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** A machine as libvirt would describe it, and what must be read from that. */
function writeAndRead({ name, active, displays }: typeof machine extends fc.Arbitrary<infer M> ? M : never): void {
  const graphics = displays.map(({ kind, port, listen }) => {
    const type = kind === "other" ? "sdl" : kind;
    return `<graphics type='${type}' port='${port}'><listen type="${listen}"/></graphics>`;
  });
  const id = active ? " id='7'" : "";
  const xml = `<domain${id}><name>${escape(name)}</name><devices>${graphics.join("\n")}</devices></domain>`;
  const read = readDomainXml(xml);
  expect(read).to.include({ name, active });
  expect(read.displays).to.deep.equal(
    displays.map(({ kind, listen, port }) => ({ kind, listen, ...(port > 0 && port < 65_536 && { port }) })),
  );
}

/** An XmlError or a reading, soon; what was written by the rules is read as it was meant. */
export const target: FuzzTarget = {
  runs: 400,
  property: fc.property(
    fc.oneof(
      { weight: 20, arbitrary: spoiltText(fc.constant(live)) },
      { weight: 20, arbitrary: wordSalad(WORDS) },
      { weight: 1, arbitrary: huge },
    ),
    machine,
    (xml, vm) => {
      const isXmlError = (error: unknown): boolean => error instanceof XmlError;
      inTime(MOST_MS, () => outcomeOf(() => readDomainXml(xml), isXmlError));
      inTime(MOST_MS, () => outcomeOf(() => readXml(xml).attribute("type"), isXmlError));
      inTime(MOST_MS, () => outcomeOf(() => readDisplayCapabilities(xml), isXmlError));
      writeAndRead(vm);
    },
  ),
};
