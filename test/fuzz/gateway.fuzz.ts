// SPDX-License-Identifier: Apache-2.0
// Requests to the entrance for clients of Nova: addresses, queries, headers and bodies.
import { expect } from "chai";
import fc from "fast-check";
import { ServiceError } from "../../src/lib/service-error.js";
import { UUID } from "../fakes/instance.js";
import { within } from "../harness/within.js";
import { GatewayUnderTest } from "../unit/gateway/gateway-harness.js";
import type { FuzzTarget } from "./fuzz-target.js";
import type { RawAnswer } from "./http-exchange.js";
import { exchange, httpRequest } from "./http-exchange.js";
import { mostly, spoiltText, withOddities, wordSalad } from "./mutations.js";

const MOST_MS = 5_000;
const gateway = new GatewayUnderTest({ trustedProxies: ["127.0.0.1"] });
gateway.useCases.issue = () => Promise.reject(new ServiceError("INSTANCE_NOT_RUNNING", "it is off"));

const id = mostly(UUID, UUID.toUpperCase(), UUID.replaceAll("-", ""), `%7B${UUID}%7D`, "..", "%00", "%ff", "%2e%2e");
const path = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        mostly("", "/p1", "/%2F"),
        fc.constantFrom("/servers", "/servers/detail", "/servers/ID", "/servers/ID/action"),
        id,
      )
      .map(([project, rest, server]) => `/v2.1${project}${rest.replace("ID", encodeOdd(server))}`),
  },
  { weight: 3, arbitrary: id.map((server) => `/v2.1/servers/${encodeOdd(server)}/remote-consoles`) },
  { weight: 2, arbitrary: id.map((token) => `/v2.1/os-console-auth-tokens/${encodeOdd(token)}`) },
  { weight: 1, arbitrary: fc.string().map((text) => `/${encodeOdd(text)}`) },
);
const query = fc
  .array(
    fc.tuple(
      mostly(
        "name",
        "limit",
        "marker",
        "host",
        "project_id",
        "all_tenants",
        "deleted",
        "sort_key",
        "status",
        "__proto__",
      ),
      mostly("1", "0", "-1", "99999999999", "true", UUID, "^web$", "\\", "[", "%"),
    ),
    { maxLength: 4 },
  )
  .map((pairs) => pairs.map(([name, value]) => `${encodeOdd(name)}=${encodeOdd(value)}`).join("&"));

const consoleBody = fc.record({
  remote_console: fc.oneof(
    fc.record({ protocol: mostly("spice", "vnc", "serial"), type: mostly("spice-html5", "novnc", "spice-direct") }),
    fc.jsonValue(),
  ),
});
const action = fc.dictionary(
  mostly("os-getSPICEConsole", "os-getVNCConsole", "reboot"),
  fc.jsonValue({ maxDepth: 2 }),
  {
    maxKeys: 2,
  },
);
const json = fc.oneof(consoleBody, action, fc.jsonValue()).map((value) => JSON.stringify(value));
const body = fc.oneof(
  { weight: 3, arbitrary: json },
  { weight: 2, arbitrary: spoiltText(json) },
  wordSalad(['{"', '":', "}", "[", "]", ",", "1e999", "\\u0000", '"__proto__":', "null", "\n"]),
  fc.nat({ max: 5_000 }).map((depth) => "[".repeat(depth)),
);
const version = mostly("compute 2.1", "compute 2.6", "compute 2.8", "compute 2.99", "compute latest", "compute 2.100");
const headers = withOddities(
  fc.record({
    "openstack-api-version": version,
    "x-auth-token": mostly("demo"),
    "content-type": mostly("application/json"),
  }),
  fc.record(
    {
      "x-openstack-nova-api-version": mostly("2.1", "latest"),
      "x-request-id": fc.string(),
      "content-type": mostly("text/plain", "application/json; charset=x"),
      "x-forwarded-for": mostly("127.0.0.1", "192.0.2.1", "10.0.0.1, 192.0.2.1"),
      "x-forwarded-proto": mostly("https"),
      "x-forwarded-host": mostly("nova.example"),
      accept: fc.string(),
      expect: fc.constant("100-continue"),
    },
    { requiredKeys: [] },
  ),
);
const request = fc.record({
  method: mostly("GET", "POST", "GET", "POST", "HEAD", "DELETE"),
  target: fc.tuple(path, query).map(([to, what]) => (what === "" ? to : `${to}?${what}`)),
  headers,
  body,
});

/** Percent signs and such as they are; only what would end the request's first line, or the path, is encoded. */
function encodeOdd(text: string): string {
  return text.replace(/[^\x21-\x7e]|[?#]/gu, (char) => {
    return Buffer.from(char).toString("hex").replace(/../g, "%$&");
  });
}

function expectFault({ status, body: text }: RawAnswer): void {
  const fault = JSON.parse(text) as Readonly<Record<string, { readonly code: number; readonly message: string }>>;
  const [{ code, message } = { code: 0, message: "" }] = Object.values(fault);
  expect(code).to.equal(status);
  expect(message).to.be.a("string").and.have.length.below(2_000);
}

/** Every request is answered soon, in Nova's shapes, and nothing in it is our fault. */
export const target: FuzzTarget = {
  runs: 300,
  property: fc.asyncProperty(request, async (asked) => {
    const answer = await within("an answer", exchange(gateway.address, httpRequest(asked)), MOST_MS);
    if (answer === undefined) return;
    expect(answer.status, JSON.stringify(answer)).to.be.oneOf([
      200, 300, 302, 400, 401, 404, 405, 406, 409, 413, 414, 415, 417, 431,
    ]);
    if (answer.status >= 400 && answer.body !== "") expectFault(answer);
    const { lists, consoles } = gateway.useCases;
    for (const { filters } of lists.splice(0)) expect(JSON.stringify(filters)).to.not.match(/\\u0000/);
    for (const { instanceUuid } of consoles.splice(0)) expect(instanceUuid).to.match(/^[0-9a-f-]{36}$/);
    expect(gateway.fake.at("error")).to.deep.equal([]);
  }),
  start: () => gateway.server.start(),
  stop: () => gateway.server.stop(),
};
