// SPDX-License-Identifier: Apache-2.0
// What people write into headers, addresses and settings: read by small functions, each with its promise.
import { expect } from "chai";
import fc from "fast-check";
import { isIP } from "node:net";
import { hasSubject, parseSubject } from "../../src/lib/certificate-subject.js";
import { formatAddress, isLoopback, parseAddress } from "../../src/lib/listen-address.js";
import { reasonOf } from "../../src/lib/service-error.js";
import { pageOf, pageStart } from "../../src/db/page-token.js";
import { TrustedProxies } from "../../src/http/trusted-proxies.js";
import { OriginRule, parseOrigin } from "../../src/proxy/origin-rule.js";
import { readToken } from "../../src/proxy/presented-token.js";
import { readProof, writeSessionCookie } from "../../src/proxy/session-cookie.js";
import type { FuzzTarget } from "./fuzz-target.js";
import { mostly, wordSalad } from "./mutations.js";
import { inTime, outcomeOf } from "./outcome.js";

const MOST_MS = 500;
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("base64url"));

function addresses(text: string, address: { readonly host: string; readonly port: number }): void {
  const read = parseAddress(text);
  // What was read is written so that it is read the same again.
  if (read) expect(parseAddress(formatAddress(read))).to.deep.equal(read);
  expect(parseAddress(formatAddress(address))).to.deep.equal(address);
  expect(isLoopback(text)).to.equal(
    text === "localhost" || (isIP(text) === 4 && text.startsWith("127.")) || isLoopback6(text),
  );
}

/** By another way than the program's: URL writes every address of IPv6 in one form. */
function isLoopback6(text: string): boolean {
  if (isIP(text) !== 6) return false;
  return /^\[::(1|ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4})\]$/.test(
    new URL(`http://[${text.split("%", 1)[0] ?? ""}]`).hostname,
  );
}

function subjects(text: string, parts: readonly (readonly [string, string])[]): void {
  const read = parseSubject(text);
  if (read) for (const [type, value] of read) expect([type, value]).to.not.include("");
  const escaped = (value: string, line: string): string => value.replace(/[\\,\n]/g, (char) => line + char);
  const written = parts.map(([type, value]) => `${type}=${escaped(value, "\\")}`);
  if (parts.length === 0) return;
  expect(parseSubject(written.join(","))).to.deep.equal(parts);
}

function cookies(header: string, proof: string, noise: string): void {
  expect(readProof(header) ?? proof).to.match(/^[\w-]{43}$/);
  const cookie = writeSessionCookie({ sessionId: "s", proof, secure: true, framed: false }).split(";")[0] ?? "";
  expect(readProof(`${noise.replaceAll("spicegate_session", "")};${cookie}`)).to.equal(proof);
  expect(readToken({ url: header, headers: { cookie: noise } })).to.be.a("string");
  expect(readToken({ url: `/?${noise.replaceAll("#", "")}&token=${proof}`, headers: { cookie: header } })).to.equal(
    proof,
  );
}

function origins(header: string, host: string): void {
  const rule = new OriginRule({ allowed: ["https://good.example"], required: true });
  const allowed = rule.allows(header, { scheme: "https", host });
  // Only a page of that very origin: a browser's own reading of both must agree.
  if (allowed) {
    const { origin } = new URL(header);
    if (origin !== "https://good.example") expect(origin).to.equal(new URL(`https://${host}`).origin);
  }
  const origin = parseOrigin(header);
  if (origin !== undefined) expect(parseOrigin(origin)).to.equal(origin);
}

function forwarded(header: string, proto: string, host: string): void {
  const headers = { "x-forwarded-for": header, "x-forwarded-proto": proto, "x-forwarded-host": host, host: "own" };
  const believed = new TrustedProxies(["10.0.0.0/8"]).read({ address: "10.0.0.1", scheme: "http" }, headers);
  expect(isIP(believed.clientAddress)).to.not.equal(0);
  expect(believed.host).to.match(/^[\w.:[\]-]+$/);
  const stranger = new TrustedProxies(["10.0.0.0/8"]).read({ address: "192.0.2.1", scheme: "http" }, headers);
  expect(stranger).to.deep.equal({ clientAddress: "192.0.2.1", scheme: "http", host: "own", direct: false });
}

function pageTokens(token: string, key: string): void {
  const anyKey = (): boolean => true;
  const invalid = (error: unknown): boolean => reasonOf(error) === "INVALID_ARGUMENT";
  outcomeOf(() => pageStart({ size: 1, token }, { a: 1 }, anyKey), invalid);
  const page = pageOf([key, key], { size: 1, token: "" }, { a: 1 }, (row) => row);
  expect(pageStart({ size: 1, token: page.nextPageToken }, { a: 1 }, anyKey)).to.equal(key);
}

const text = fc.oneof(
  wordSalad([
    "127.0.0.1",
    "[::1]",
    "::ffff:",
    ":",
    "%",
    "https://",
    "good.example",
    ",",
    ";",
    "=",
    "spicegate_session",
    " ",
    "@",
    "\\",
  ]),
  wordSalad(["CN=", "O=", ",", "\\", "\n", "+", "token=", "?", "&", "#", "10.0.0.1", "[", "]", "/", "0x7f.1", '"']),
  fc.string({ unit: "binary", maxLength: 200 }),
  mostly("https://good.example", "127.0.0.1:80", "[::1]:443", "localhost").map((part) => part.repeat(20)),
);
const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
const address = fc.record({ host, port: fc.nat({ max: 65_535 }) });
const part = fc.tuple(
  fc.constantFrom("CN", "O", "OU", "2.5.4.3X", "DC").map((type) => type.replace("2.5.4.3X", "L")),
  fc.string({ minLength: 1 }),
);

/** Each reads any text soon, keeps its promise about what it makes of it, and reads what was written by the rules. */
export const target: FuzzTarget = {
  runs: 500,
  property: fc.property(
    fc.array(text, { minLength: 3, maxLength: 3 }),
    address,
    secret,
    fc.array(part, { maxLength: 4 }),
    ([a = "", b = "", c = ""], known, proof, parts) => {
      inTime(MOST_MS, () => addresses(a, known));
      inTime(MOST_MS, () => subjects(a, parts));
      inTime(MOST_MS, () => cookies(a, proof, b));
      inTime(MOST_MS, () => origins(a, b));
      inTime(MOST_MS, () => forwarded(a, b, c));
      inTime(MOST_MS, () => pageTokens(a, known.host));
      expect(hasSubject({ subject: a }, parseSubject(b) ?? [["CN", "x"]])).to.be.a("boolean");
    },
  ),
};
