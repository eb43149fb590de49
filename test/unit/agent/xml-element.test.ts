// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import fc from "fast-check";
import { XMLParser } from "fast-xml-parser";
import type { XmlElement } from "../../../agent/xml-element.js";
import { readXml, XmlError } from "../../../agent/xml-element.js";
import { MAX_DOMAIN_XML_BYTES, MAX_XML_DEPTH } from "../../../src/lib/limits.js";

interface Node {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly content: readonly (Node | string)[];
}

describe("readXml", () => {
  it("reads elements, attributes and text", () => {
    const root = readXml(`<?xml version="1.0"?>\n<a x='1' y = "two > one">t<b/><b z=""></b>u</a>\n<!-- end -->`);
    expect(root.name).to.equal("a");
    expect(root.attribute("x")).to.equal("1");
    expect(root.attribute("y")).to.equal("two > one");
    expect(root.attribute("z")).to.equal(undefined);
    expect(root.all("b")).to.have.length(2);
    expect(root.all("b")[1]?.attribute("z")).to.equal("");
    expect(root.text).to.equal("tu");
  });

  it("decodes XML's own entities and numbered characters, and no others", () => {
    const root = readXml(`<a x="&quot;&apos;&amp;amp;">&lt;&gt;&#65;&#x1F600;</a>`);
    expect(root.attribute("x")).to.equal(`"'&amp;`);
    expect(root.text).to.equal("<>A😀");
    for (const bad of ["&nbsp;", "&#0;", "&#x110000;", "&#xD800;", "&#xZ;", "& ", "&constructor;", "&toString;"]) {
      expect(() => readXml(`<a>${bad}</a>`), bad).to.throw(XmlError, /entity/);
    }
  });

  it("takes comments, CDATA and instructions for what they are", () => {
    const root = readXml("<a><!-- <b/> --><![CDATA[<b/>&amp;]]><?php <b/> ?><c/></a>");
    expect(root.children.map(({ name }) => name)).to.deep.equal(["c"]);
    expect(root.text).to.equal("<b/>&amp;");
  });

  it("tells elements apart by namespace, whatever the prefix", () => {
    const root = readXml(
      `<a xmlns:p="urn:one"><p:b/><q:b xmlns:q="urn:one"/><b xmlns="urn:one"><b/><c xmlns=""/></b><b/><p:b xmlns:p="urn:two"/></a>`,
    );
    expect(root.all("b", "urn:one")).to.have.length(3);
    expect(root.all("b", "urn:two")).to.have.length(1);
    expect(root.all("b")).to.have.length(1);
    const inner = root.all("b", "urn:one")[2];
    expect(inner?.child("b", "urn:one"), "the default namespace is inherited").to.not.equal(undefined);
    expect(inner?.child("c"), "and can be taken back").to.not.equal(undefined);
  });

  it("finds nothing under a prefix that nobody declared", () => {
    const child = readXml("<a><p:b/></a>").children[0];
    expect(child?.namespace).to.equal(undefined);
    expect(readXml("<a><p:b/></a>").child("b")).to.equal(undefined);
  });

  it("refuses what is not one complete element", () => {
    const broken = ["", "text", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a", "<a x='>", "<>", "</>", "<a><!--</a>"];
    for (const xml of [...broken, "<a><![CDATA[</a>", "<a><?x</a>", "<a></a></a>", "<a/></a>"]) {
      expect(() => readXml(xml), xml).to.throw(XmlError);
    }
  });

  it("refuses a document type, so that no entity can be declared", () => {
    const bomb = `<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>`;
    expect(() => readXml(bomb)).to.throw(XmlError, /document type/);
  });

  it("refuses malformed attributes once they are asked for", () => {
    expect(() => readXml("<a x></a>").attribute("x")).to.throw(XmlError, /attribute/);
    expect(() => readXml("<a x=1></a>").attribute("x")).to.throw(XmlError, /attribute/);
  });

  it("nests to its bound and no deeper", () => {
    const nested = (depth: number): string => "<a>".repeat(depth) + "</a>".repeat(depth);
    expect(readXml(nested(MAX_XML_DEPTH - 1)).name).to.equal("a");
    expect(() => readXml(nested(MAX_XML_DEPTH))).to.throw(XmlError, /deeply/);
  });

  it("agrees with an established parser on any document", () => {
    fc.assert(
      fc.property(documents, (document) => {
        const xml = write(document);
        expect(shape(readXml(xml))).to.deep.equal(shapeOfOther(xml));
      }),
      { numRuns: 300 },
    );
  });

  it("ends with an element or an XmlError, whatever it reads", () => {
    const pieces = fc.constantFrom(
      "<",
      ">",
      "/",
      "a",
      "&",
      ";",
      "'",
      '"',
      "=",
      "!--",
      "-->",
      "![CDATA[",
      "]]>",
      "?",
      " ",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((list) => list.join("")),
        ),
        (xml) => {
          try {
            readXml(xml).attribute("a");
          } catch (error) {
            expect(error).to.be.instanceOf(XmlError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("takes time in proportion to the size, also for hostile texts", () => {
    const hostile = ["<a ", "<!--", "<a x='", "<", "&", "<a/>", "<a x", "<a>", " ", "<a xmlns:a='' "];
    for (const piece of hostile) {
      const xml = `<r>${piece.repeat(MAX_DOMAIN_XML_BYTES / piece.length)}`;
      const begun = performance.now();
      expect(() => readXml(xml).attribute("x"), piece).to.throw(XmlError);
      expect(performance.now() - begun, piece).to.be.lessThan(3_000);
    }
  });

  it("takes time in proportion to the size where many prefixes are in force and many are declared", () => {
    const half = MAX_DOMAIN_XML_BYTES / 2;
    const prefixes = Array.from({ length: half / 16 }, (_, number) => ` xmlns:p${number}='u'`).join("");
    const begun = performance.now();
    readXml(`<r${prefixes}>${"<a xmlns:q=''/>".repeat(half / 16)}</r>`);
    expect(performance.now() - begun).to.be.lessThan(3_000);
  });

  it("lets a declaration hold inside its element only, and the nearest one win", () => {
    const root = readXml("<r xmlns:p='outer'><a xmlns:p='inner'><p:x/></a><p:x/><b xmlns='d'><x/></b><x/></r>");
    expect(root.child("a")?.child("x", "inner")).to.not.equal(undefined);
    expect(root.child("x", "outer")).to.not.equal(undefined);
    expect(root.child("b", "d")?.child("x", "d")).to.not.equal(undefined);
    expect(root.child("x")).to.not.equal(undefined);
  });
});

const names = fc.constantFrom("a", "b", "domain", "graphics", "x-y", "é");
const texts = fc.string({ unit: fc.constantFrom("a", "b", "<", ">", "&", "'", '"', "é", "😀") });
const attributes = fc.dictionary(names, texts, { maxKeys: 3 });
const { documents } = fc.letrec<{ documents: Node }>((tie) => ({
  documents: fc.record({
    name: names,
    attributes,
    content: fc.array(fc.oneof({ depthSize: "small" }, texts, tie("documents")), { maxLength: 4 }),
  }),
}));

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&apos;",
    '"': "&quot;",
  };
  return text.replace(/[&<>'"]/g, (char) => entities[char] ?? char);
}

function write({ name, attributes, content }: Node): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escape(value)}"`);
  const inside = content.map((part) => (typeof part === "string" ? escape(part) : write(part)));
  return `<${name}${written.join("")}>${inside.join("")}</${name}>`;
}

/** An element as plain data: name, attributes, children, text. */
type Shape = readonly [string, Readonly<Record<string, string | undefined>>, readonly Shape[], string];

const ASKED = ["a", "b", "domain", "graphics", "x-y", "é"];

function shape(element: XmlElement): Shape {
  const found = ASKED.flatMap((key) => (element.attribute(key) === undefined ? [] : [[key, element.attribute(key)]]));
  return [element.name, Object.fromEntries(found) as Shape[1], element.children.map(shape), element.text];
}

type OtherNode = Readonly<Record<string, unknown>>;

function shapeOfOther(xml: string): Shape {
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: "",
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
  });
  const [root] = parser.parse(xml) as OtherNode[];
  return shapeOfNode(root!);
}

function shapeOfNode(node: OtherNode): Shape {
  const name = Object.keys(node).find((key) => key !== ":@")!;
  const content = node[name] as OtherNode[];
  const text = content.map((part) => ("#text" in part ? String(part["#text"]) : "")).join("");
  const children = content.filter((part) => !("#text" in part)).map(shapeOfNode);
  return [name, (node[":@"] ?? {}) as Shape[1], children, text];
}
