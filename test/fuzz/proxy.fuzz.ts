// SPDX-License-Identifier: Apache-2.0
// Requests and upgrades to the entrance for browsers, with the cookies and origins of other people's pages.
import { expect } from "chai";
import fc from "fast-check";
import { isHost } from "../../src/http/trusted-proxies.js";
import { within } from "../harness/within.js";
import { COOKIE, PROOF, ProxyUnderTest, SESSION_ID } from "../unit/proxy/proxy-harness.js";
import type { FuzzTarget } from "./fuzz-target.js";
import type { RawRequest } from "./http-exchange.js";
import { exchange, httpRequest } from "./http-exchange.js";
import { mostly, spoiltText, withOddities, wordSalad } from "./mutations.js";

const MOST_MS = 5_000;
const HOST = "console.example";
const OTHER = "P".repeat(43);
const proxy = new ProxyUnderTest({ trustedProxies: ["127.0.0.1"], allowedOrigins: ["https://portal.example"] });

type Line = readonly [method: string, target: string];
const session = `/s/${SESSION_ID}`;
const line: fc.Arbitrary<Line> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom<Line>(
      ["POST", "/api/sessions"],
      ["GET", `${session}/channel`],
      ["GET", `${session}/channel`],
      ["DELETE", `${session}/`],
      ["GET", `${session}/status`],
    ),
  },
  fc.tuple(
    mostly("GET", "POST", "DELETE", "HEAD", "OPTIONS", "CONNECT"),
    fc.oneof(
      fc.constantFrom("/console", "/assets/page.js", "/assets/../../etc/passwd", "/assets/%2e%2e/index.html", "*"),
      wordSalad(["/s/", SESSION_ID, "/channel", "/assets/", "..", "%2f", "%00", "?token=", "\\", "//", ";"], 6).map(
        (text) => `/${text.replace(/[^\x21-\x7e]/gu, "%20")}`,
      ),
    ),
  ),
);
const origin = mostly(
  ...[
    `http://${HOST}`,
    `http://${HOST}`,
    `https://${HOST}`,
    "https://portal.example",
    "https://evil.example",
    "null",
    "file://",
  ],
  ...[
    `http://${HOST}.evil.example`,
    `http://${HOST}:81`,
    `http://user@${HOST}`,
    "https://portal.example:444",
    `HTTP://${HOST}`,
  ],
);
const cookie = fc.oneof(
  { weight: 4, arbitrary: mostly(COOKIE, `a=b; ${COOKIE}`) },
  mostly(`spicegate_session=${OTHER}`, `${COOKIE}; spicegate_session=${OTHER}`, `__Host-${COOKIE}`),
  wordSalad([COOKIE, "spicegate_session=", PROOF, OTHER, ";", "=", " ", '"', ","], 6),
);
const headers = withOddities(
  fc.record({
    host: mostly(HOST),
    origin,
    cookie,
    connection: mostly("Upgrade", "keep-alive, Upgrade").map((tokens) => `${tokens}, close`),
    upgrade: mostly("websocket"),
    "sec-websocket-version": mostly("13"),
    "sec-websocket-key": mostly("dGhlIHNhbXBsZSBub25jZQ=="),
    "sec-websocket-protocol": mostly("binary"),
    "content-type": mostly("application/json"),
  }),
  fc.record(
    {
      upgrade: mostly("h2c", "spicegate-tunnel"),
      "sec-websocket-version": mostly("8"),
      "sec-websocket-extensions": mostly("permessage-deflate", "permessage-deflate; client_max_window_bits=99"),
      "content-type": mostly("text/plain", "multipart/form-data"),
      "x-forwarded-for": mostly("192.0.2.7", "127.0.0.1, 192.0.2.7"),
      "x-forwarded-proto": mostly("https", "http"),
      "x-forwarded-host": mostly(HOST, "evil.example"),
    },
    { requiredKeys: [] },
  ),
);
const json = fc.oneof(fc.constant({ token: "good" }), fc.jsonValue()).map((value) => JSON.stringify(value));
const request: fc.Arbitrary<RawRequest> = fc
  .tuple(line, headers, fc.oneof(json, spoiltText(json), fc.constant("")))
  .map(([[method, target], all, body]) => {
    // Whatever asks for an upgrade reaches no other address.
    const upgrades = target.endsWith("/channel") ? {} : { upgrade: undefined, connection: "close" };
    return { method, target, headers: { ...all, ...upgrades }, body };
  });

/** What a browser would say of where the request comes from and goes to; a header that ends lines says anything. */
function isForeign({ headers: { origin: from, host = "localhost", ...others } }: RawRequest): boolean {
  if (from === undefined || from === "https://portal.example") return false;
  const last = (header = ""): string => header.split(",").at(-1)?.trim() ?? "";
  const scheme = last(others["x-forwarded-proto"]).toLowerCase() === "https" ? "https" : "http";
  // A balancer that names no host counts as one that says nothing.
  const named = last(others["x-forwarded-host"]);
  const own = isHost(named) ? named : host;
  if (!URL.canParse(from) || !URL.canParse(`${scheme}://${own}`)) return true;
  return new URL(from).origin !== new URL(`${scheme}://${own}`).origin;
}

const endsLines = ({ headers: all }: RawRequest): boolean => /[\r\n]/.test(Object.values(all).join(""));

/** Every request is answered soon and nothing is our fault; no foreign page acts, and nobody without the proof. */
export const target: FuzzTarget = {
  runs: 300,
  property: fc.asyncProperty(request, async (asked) => {
    const bytes = httpRequest(asked);
    const answer = await within("an answer", exchange(`127.0.0.1:${proxy.server.port}`, bytes), MOST_MS);
    for (const { webSocket } of proxy.accepted.splice(0)) webSocket.terminate();
    expect(proxy.log.at("error")).to.deep.equal([]);
    if (answer === undefined) return;
    expect(answer.status, JSON.stringify(answer)).to.be.within(100, 499);
    const acts = [101, 201, 204].includes(answer.status);
    if (!acts || endsLines(asked)) return;
    expect(isForeign(asked), "a foreign page has acted").to.equal(false);
    if (answer.status !== 201) expect(asked.headers["cookie"]).to.include(PROOF).and.not.include(`session=${OTHER}`);
  }),
  start: () => proxy.server.start(),
  stop: () => proxy.stop(),
};
