// SPDX-License-Identifier: Apache-2.0
import { MAX_XML_DEPTH } from "../src/lib/limits.js";

/**
 * A small reader for the XML that libvirt writes, made for being asked a few things about a large document: attributes
 * are taken apart only when one is asked for, and a domain of 8 KB costs some 50 µs. It knows elements, namespaces,
 * text, CDATA, comments and instructions. Documents with a DOCTYPE are refused, so there are no entities of their own;
 * nothing recurses, and every step moves forward, so no text makes it slow or deep.
 */

/** The document cannot be read. The message says why and holds none of its text. */
export class XmlError extends Error {
  override readonly name = "XmlError";
}

/** The prefixes that one element declares, and those around it: never copied, since there may be very many. */
interface Prefixes {
  readonly own: ReadonlyMap<string, string>;
  readonly outer: Prefixes | undefined;
}

const ATTRIBUTE = /\s*([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y;
const NAME_END = /[\s/]/;
const NO_PREFIXES: Prefixes = { own: new Map(), outer: undefined };
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
]);

/** An element. Those without a namespace have `""`; those with a prefix that nobody declared have none that matches. */
export class XmlElement {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly children: XmlElement[] = [];
  /** The text directly inside, without that of children. */
  text = "";
  readonly #attributes: string;

  constructor(name: string, namespace: string | undefined, attributes: string) {
    this.name = name;
    this.namespace = namespace;
    this.#attributes = attributes;
  }

  /** The value of an attribute without a prefix, or undefined. */
  attribute(name: string): string | undefined {
    for (const [key, value] of attributesOf(this.#attributes)) if (key === name) return value;
    return undefined;
  }

  /** The first child of that name, or undefined. */
  child(name: string, namespace = ""): XmlElement | undefined {
    return this.children.find((child) => child.name === name && child.namespace === namespace);
  }

  /** All children of that name, in order. */
  all(name: string, namespace = ""): XmlElement[] {
    return this.children.filter((child) => child.name === name && child.namespace === namespace);
  }
}

interface Open {
  readonly element: XmlElement;
  /** The name as written, which the end tag must repeat. */
  readonly written: string;
  readonly prefixes: Prefixes;
}

/** Reads a document and returns its root. Throws XmlError. */
export function readXml(xml: string): XmlElement {
  const stack: Open[] = [{ element: new XmlElement("", "", ""), written: "", prefixes: NO_PREFIXES }];
  let at = 0;
  for (let open = stack[0]; open !== undefined; open = stack.at(-1)) {
    const tag = xml.indexOf("<", at);
    if (tag === -1) break;
    if (tag > at) open.element.text += decode(xml.slice(at, tag));
    at = readMarkup(xml, tag, stack, open);
  }
  const document = stack[0]?.element;
  const root = document?.children[0];
  if (stack.length !== 1 || root === undefined || document?.children.length !== 1) {
    throw new XmlError("it is not one complete element");
  }
  return root;
}

/** Takes in the markup that begins at `at`; returns where it ends. One look at the next character tells what it is. */
function readMarkup(xml: string, at: number, stack: Open[], open: Open): number {
  switch (xml.charAt(at + 1)) {
    case "!":
      return readDeclaration(xml, at, open);
    case "?":
      return after(xml, "?>", at + 2);
    case "/":
      return readEndTag(xml, at, stack, open);
    default:
      return readStartTag(xml, at, stack, open);
  }
}

function readDeclaration(xml: string, at: number, open: Open): number {
  if (xml.startsWith("<!--", at)) return after(xml, "-->", at + 4);
  if (!xml.startsWith("<![CDATA[", at)) throw new XmlError("it has a document type, which is refused");
  const end = after(xml, "]]>", at + 9);
  open.element.text += xml.slice(at + 9, end - 3);
  return end;
}

function readEndTag(xml: string, at: number, stack: Open[], open: Open): number {
  const end = tagEnd(xml, at + 2);
  if (stack.length === 1 || xml.slice(at + 2, end).trimEnd() !== open.written) {
    throw new XmlError("an end tag does not fit");
  }
  stack.pop();
  return end + 1;
}

function readStartTag(xml: string, at: number, stack: Open[], open: Open): number {
  const end = tagEnd(xml, at + 1);
  const selfClosing = xml.charAt(end - 1) === "/";
  const opened = openTag(xml.slice(at + 1, selfClosing ? end - 1 : end), open.prefixes);
  open.element.children.push(opened.element);
  if (!selfClosing) stack.push(opened);
  if (stack.length > MAX_XML_DEPTH) throw new XmlError("it is nested too deeply");
  return end + 1;
}

function openTag(tag: string, inherited: Prefixes): Open {
  const nameEnd = tag.search(NAME_END);
  const written = nameEnd === -1 ? tag : tag.slice(0, nameEnd);
  if (written === "") throw new XmlError("an element has no name");
  const attributes = nameEnd === -1 ? "" : tag.slice(nameEnd);
  const prefixes = attributes.includes("xmlns") ? declared(attributes, inherited) : inherited;
  const colon = written.indexOf(":");
  const namespace =
    namespaceOf(prefixes, colon === -1 ? "" : written.slice(0, colon)) ?? (colon === -1 ? "" : undefined);
  return { element: new XmlElement(written.slice(colon + 1), namespace, attributes), written, prefixes };
}

function declared(attributes: string, outer: Prefixes): Prefixes {
  const own = new Map<string, string>();
  for (const [key, value] of attributesOf(attributes)) {
    if (key === "xmlns") own.set("", value);
    else if (key.startsWith("xmlns:")) own.set(key.slice(6), value);
  }
  return { own, outer };
}

/** What the nearest declaration of a prefix says. As many steps at most as elements are nested. */
function namespaceOf(prefixes: Prefixes, prefix: string): string | undefined {
  for (let scope: Prefixes | undefined = prefixes; scope !== undefined; scope = scope.outer) {
    const namespace = scope.own.get(prefix);
    if (namespace !== undefined) return namespace;
  }
  return undefined;
}

function* attributesOf(text: string): Generator<readonly [string, string]> {
  let at = 0;
  while (at < text.length) {
    ATTRIBUTE.lastIndex = at;
    const match = ATTRIBUTE.exec(text);
    if (!match) break;
    at = ATTRIBUTE.lastIndex;
    yield [match[1] ?? "", decode(match[2] ?? match[3] ?? "")];
  }
  if (text.slice(at).trim() !== "") throw new XmlError("an attribute is malformed");
}

/** Where the tag ends: the next ">" outside of quotes. */
function tagEnd(xml: string, from: number): number {
  let quote = "";
  for (let at = from; at < xml.length; at += 1) {
    const char = xml.charAt(at);
    if (quote !== "") {
      if (char === quote) quote = "";
    } else if (char === ">") return at;
    else if (char === '"' || char === "'") quote = char;
  }
  throw new XmlError("a tag does not end");
}

function after(xml: string, end: string, from: number): number {
  const at = xml.indexOf(end, from);
  if (at === -1) throw new XmlError(`there is no ${end}`);
  return at + end.length;
}

function decode(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&([^;&]{0,10})(;?)/g, (_, name: string, end: string) => {
    const char = end === "" ? undefined : (ENTITIES.get(name) ?? numbered(name));
    if (char === undefined) throw new XmlError("it has an entity that XML does not define");
    return char;
  });
}

function numbered(name: string): string | undefined {
  const match = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name);
  if (!match) return undefined;
  const code = match[1] === undefined ? Number(match[2]) : Number.parseInt(match[1], 16);
  const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : undefined;
}
