// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { GatewayServerOptions } from "../../../src/gateway/gateway-server.js";
import { GATEWAY_REQUEST_MS } from "../../../src/lib/limits.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { NOBODY } from "../../../src/rpc/caller.js";
import { callersAre } from "../../harness/callers.js";
import type { RestAnswer } from "../../harness/rest-client.js";
import { consoleUrlOf, faultOf } from "../../harness/rest-client.js";
import { until, within } from "../../harness/within.js";
import { CALLER, GatewayUnderTest, loopbackCallers, URL } from "./gateway-harness.js";
import { anInstance, UUID } from "../../fakes/instance.js";

const SERVER = `/v2.1/servers/${UUID}`;
const SPICE = { remote_console: { protocol: "spice", type: "spice-html5" } };

describe("gateway server", () => {
  const started: GatewayUnderTest[] = [];
  let gateway: GatewayUnderTest;

  async function start(more: Partial<GatewayServerOptions> = {}): Promise<GatewayUnderTest> {
    gateway = await new GatewayUnderTest(more).start();
    started.push(gateway);
    return gateway;
  }

  beforeEach(() => start());
  afterEach(async () => {
    for (const each of started.splice(0)) await each.server.stop();
  });

  function expectFault(answer: RestAnswer, code: number, name: string, says = /./): void {
    expect(faultOf(answer)).to.include({ code, name });
    expect(faultOf(answer).message).to.match(says);
  }

  describe("version discovery", () => {
    it("needs no token, and names the versions and where they are", async () => {
      const answer = await gateway.rest.get("/", { token: null });
      expect(answer.body).to.have.nested.property("versions[0]").that.includes({
        id: "v2.1",
        status: "CURRENT",
        min_version: "2.1",
        version: "2.99",
      });
      const links = [{ rel: "self", href: `http://${gateway.address}/v2.1/` }];
      expect(answer.body).to.have.nested.property("versions[0].links").that.deep.equals(links);
    });

    for (const path of ["/v2.1", "/v2.1/"]) {
      it(`tells of the one version at ${path}, whatever version the request names`, async () => {
        const { status, body } = await gateway.rest.get(path, { token: null, version: "2.1000" });
        expect(status).to.equal(200);
        expect(body).to.have.nested.property("version.media-types[0].base", "application/json");
        expect(body).to.have.nested.property("version.version", "2.99");
      });
    }

    it("points to the name under which a trusted balancer is reached", async () => {
      await start({ trustedProxies: ["127.0.0.1"] });
      const headers = { "x-forwarded-proto": "https", "x-forwarded-host": "nova.example" };
      const { body } = await gateway.rest.get("/", { headers });
      expect(body).to.have.nested.property("versions[0].links[0].href", "https://nova.example/v2.1/");
    });

    it("points to the address of the connection where the Host header is no host", async () => {
      const text = await gateway.raw('GET / HTTP/1.1\r\nHost: "><b>\r\nConnection: close\r\n\r\n');
      expect(text).to.contain(`"href":"http://${gateway.address}/v2.1/"`).and.not.contain("<b>");
    });
  });

  describe("identity", () => {
    it("takes any token from this machine, in both headers", async () => {
      const bearer = { authorization: "Bearer anything" };
      expect(await gateway.rest.get(SERVER, { token: null, headers: bearer })).to.include({ status: 200 });
      expect(await gateway.rest.get(SERVER, { token: "x" })).to.include({ status: 200 });
      expect((await gateway.rest.remoteConsole(UUID)).status).to.equal(200);
      expect(gateway.useCases.contexts[0]).to.deep.include({ caller: CALLER, clientAddress: "127.0.0.1" });
    });

    it("refuses a request without one in Keystone's shape", async () => {
      for (const headers of [
        {},
        { "x-auth-token": " " },
        { authorization: "Bearer " },
        { authorization: "Basic eA==" },
      ]) {
        const answer = await gateway.rest.get(SERVER, { token: null, headers });
        expect(answer.status, JSON.stringify(headers)).to.equal(401);
        expect(answer.headers.get("www-authenticate")).to.match(/^Bearer /);
        expect(answer.body).to.have.nested.property("error.title", "Unauthorized");
      }
    });

    it("sends who is not known to Keystone where there is one", async () => {
      await start({ keystoneUrl: "https://keystone.example/identity" });
      const { headers } = await gateway.rest.get(SERVER, { token: null });
      const challenges = 'Keystone uri="https://keystone.example/identity", Bearer realm="spicegate"';
      expect(headers.get("www-authenticate")).to.equal(challenges);
    });

    it("refuses every token where loopback is not trusted", async () => {
      await start({ callers: loopbackCallers(false) });
      const answer = await gateway.rest.get(SERVER);
      expect(answer.status).to.equal(401);
      expect(answer.text).to.contain("the token is unknown");
      expect((await gateway.rest.get("/v2.1")).status).to.equal(200);
    });

    it("refuses whom a trusted balancer on this machine brings from elsewhere", async () => {
      await start({ trustedProxies: ["127.0.0.1"] });
      const answer = await gateway.rest.get(SERVER, { headers: { "x-forwarded-for": "192.0.2.1" } });
      expect(answer.status).to.equal(401);
    });

    it("takes nobody whom a balancer brings for a caller on this machine, whatever is said of him", async () => {
      await start({ trustedProxies: ["127.0.0.1", "10.0.0.0/8"] });
      for (const forwardedFor of ["127.0.0.1", "127.0.0.1, 10.0.0.7", "nobody", ""]) {
        const answer = await gateway.rest.get(SERVER, { headers: { "x-forwarded-for": forwardedFor } });
        expect(answer.status, forwardedFor).to.equal(401);
      }
      expect((await gateway.rest.get(SERVER)).status, "one that says nothing of him").to.equal(401);
      await start();
      for (const name of ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"]) {
        const answer = await gateway.rest.get(SERVER, { headers: { [name]: "127.0.0.1" } });
        expect(answer.status, `${name} of a balancer that nobody has configured`).to.equal(401);
      }
    });

    it("refuses who comes by a name of somebody else's, as a page can make a browser do", async () => {
      const get = (host: string): Promise<string> =>
        gateway.raw(`GET ${SERVER} HTTP/1.1\r\nHost: ${host}\r\nX-Auth-Token: t\r\nConnection: close\r\n\r\n`);
      for (const host of ["evil.example", "evil.example:8774", "127.0.0.1.evil.example", ""]) {
        expect(await get(host), host).to.match(/^HTTP\/1\.1 401 /);
      }
      for (const host of ["localhost", "localhost:8774", "127.0.0.1", "[::1]:8774", "[::1]"]) {
        expect(await get(host), host).to.match(/^HTTP\/1\.1 200 /);
      }
    });

    it("takes who shows a token that is known by whatever name and from wherever, and tells whose token it is", async () => {
      const tokens: string[] = [];
      const callers = callersAre(({ token = "" }) => {
        tokens.push(token);
        return token === "good" ? CALLER : NOBODY;
      });
      await start({ callers });
      const get = (headers: string): Promise<string> =>
        gateway.raw(`GET ${SERVER} HTTP/1.1\r\nHost: cloud.example\r\n${headers}\r\nConnection: close\r\n\r\n`);
      for (const headers of [
        "X-Auth-Token: good ",
        "Authorization: Bearer good",
        "X-Auth-Token: \r\nAuthorization: bearer good",
      ]) {
        expect(await get(headers), headers).to.match(/^HTTP\/1\.1 200 /);
      }
      expect(await get("X-Auth-Token: bad\r\nAuthorization: Bearer good")).to.match(/^HTTP\/1\.1 401 /);
      expect(tokens).to.deep.equal(["good", "good", "good", "bad"]);
    });

    it("answers 503 where it cannot tell who calls", async () => {
      const away = (): never => {
        throw new ServiceError("DATABASE_UNAVAILABLE", "away");
      };
      await start({ callers: callersAre(away) });
      expectFault(await gateway.rest.get(SERVER), 503, "serviceUnavailable", /away/);
    });

    it("takes no word of a header for who calls", async () => {
      await start({ callers: callersAre(() => CALLER) });
      const headers = { "x-forwarded-for": "192.0.2.1", "x-user-id": "mallory", "x-roles": "none" };
      expect(
        (await gateway.rest.post(`${SERVER}/remote-consoles`, SPICE, { version: "2.6", headers })).status,
      ).to.equal(200);
      expect(gateway.useCases.contexts[0]).to.deep.include({ caller: CALLER, clientAddress: "127.0.0.1" });
    });

    it("refuses an address with another project than the caller's", async () => {
      const project = { ...CALLER, project: "p1" };
      await start({ callers: loopbackCallers(true, project) });
      expectFault(await gateway.rest.get("/v2.1/p2/servers"), 400, "badRequest", /project/);
      expect((await gateway.rest.get("/v2.1/p1/servers")).status).to.equal(200);
    });

    it("finds nothing at an address whose project is none", async () => {
      for (const path of ["/v2.1//servers", "/v2.1/%2e/servers", "/v2.1/%2E%2e/servers"]) {
        const text = await gateway.raw(
          `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Auth-Token: t\r\nConnection: close\r\n\r\n`,
        );
        expect(text, path).to.match(/^HTTP\/1\.1 404 /);
      }
      for (const project of ["%00", "%E2%80%AE", "p".repeat(256)])
        expectFault(await gateway.rest.get(`/v2.1/${project}/servers`), 400, "badRequest", /project/);
      expect((await gateway.rest.get(`/v2.1/${"p".repeat(255)}/servers`)).status).to.equal(200);
    });
  });

  describe("versions", () => {
    it("are in each answer, in both spellings, whether it is good or bad", async () => {
      for (const path of [SERVER, "/v2.1/servers/nothing"]) {
        const { headers } = await gateway.rest.get(path, { version: "2.73" });
        expect(headers.get("openstack-api-version")).to.equal("compute 2.73");
        expect(headers.get("x-openstack-nova-api-version")).to.equal("2.73");
        expect(headers.get("vary")).to.equal("OpenStack-API-Version, X-OpenStack-Nova-API-Version");
      }
    });

    it("that are none are a 400, those out of range a 406", async () => {
      expectFault(await gateway.rest.get(SERVER, { version: "<b>" }), 400, "badRequest", /^[^<]+$/);
      expectFault(await gateway.rest.get(SERVER, { version: "2.100" }), 406, "computeFault", /2\.1 .* 2\.99/);
    });
  });

  describe("remote-consoles", () => {
    it("issues a console and says which", async () => {
      const answer = await gateway.rest.remoteConsole(UUID.toUpperCase(), { version: "2.6" });
      expect(answer.body).to.deep.equal({ remote_console: { protocol: "spice", type: "spice-html5", url: URL } });
      expect(gateway.useCases.consoles).to.deep.equal([
        { instanceUuid: UUID, protocol: "spice", consoleType: "spice-html5" },
      ]);
    });

    it("leaves it to the use case what fits together", async () => {
      for (const [protocol, type] of [
        ["spice", "novnc"],
        ["vnc", "spice-html5"],
        ["rdp", "rdp-html5"],
      ] as const) {
        await gateway.rest.remoteConsole(UUID, { protocol, type });
        expect(gateway.useCases.consoles.at(-1)).to.include({ protocol, consoleType: type });
      }
    });

    const words: [version: string, protocol: string, type: string, known: boolean][] = [
      ["2.6", "mks", "novnc", false],
      ["2.7", "spice", "webmks", false],
      ["2.8", "mks", "webmks", true],
      ["2.98", "spice", "spice-direct", false],
      ["2.99", "spice", "spice-direct", true],
      ["latest", "spice", "spice-direct", true],
    ];
    for (const [version, protocol, type, known] of words) {
      it(`${known ? "knows" : "does not know"} ${protocol} with ${type} in ${version}`, async () => {
        const answer = await gateway.rest.remoteConsole(UUID, { version, protocol, type });
        if (known) expect(answer.status).to.equal(200);
        else expectFault(answer, 400, "badRequest", /^remote_console\.(protocol|type) must be one of/);
      });
    }

    it("is not there before 2.6", async () => {
      expectFault(await gateway.rest.remoteConsole(UUID, { version: "2.5" }), 404, "itemNotFound", /2\.5 is not/);
    });

    const malformed: [body: unknown, says: RegExp][] = [
      [{}, /^remote_console must be present$/],
      [{ remote_console: {} }, /^remote_console\.protocol must be present$/],
      [{ remote_console: "x" }, /^remote_console must be object$/],
      [{ remote_console: { ...SPICE.remote_console, '<b>"': 1 } }, /^remote_console must not have the field "<b>\\""$/],
      [{ ...SPICE, ["x".repeat(200)]: 1 }, /^the body must not have the field "x{64}"$/],
      [[], /^the body must be object$/],
      [null, /^the body must be object$/],
    ];
    for (const [body, says] of malformed) {
      it(`names the bad field of ${JSON.stringify(body).slice(0, 60)}`, async () => {
        expectFault(
          await gateway.rest.post(`${SERVER}/remote-consoles`, body, { version: "2.6" }),
          400,
          "badRequest",
          says,
        );
        expect(gateway.useCases.consoles).to.be.empty;
      });
    }

    it("does not find a server whose id is no uuid, however long it is", async () => {
      expectFault(await gateway.rest.get(`/v2.1/servers/${"x".repeat(9_000)}`), 404, "itemNotFound");
      expectFault(await gateway.rest.remoteConsole("web-1"), 404, "itemNotFound");
    });

    it("passes on why a console is refused", async () => {
      gateway.useCases.issue = () => Promise.reject(new ServiceError("INSTANCE_BUSY", "the instance is migrating"));
      expectFault(await gateway.rest.remoteConsole(UUID), 409, "conflictingRequest", /^the instance is migrating$/);
    });
  });

  describe("actions", () => {
    it("issue a console up to 2.5", async () => {
      for (const version of ["2.1", "2.5"]) {
        const { body } = await gateway.rest.legacyConsole(UUID, { version });
        expect(body).to.deep.equal({ console: { type: "spice-html5", url: URL } });
      }
      expect(gateway.useCases.consoles[0]).to.deep.equal({
        instanceUuid: UUID,
        protocol: "spice",
        consoleType: "spice-html5",
      });
    });

    it("are not there from 2.6 on", async () => {
      expectFault(await gateway.rest.legacyConsole(UUID, { version: "2.6" }), 404, "itemNotFound", /2\.6 is not/);
    });

    it("of other consoles reach the use case, which refuses them", async () => {
      await gateway.rest.post(`${SERVER}/action`, { "os-getVNCConsole": { type: "novnc" } });
      expect(gateway.useCases.consoles).to.deep.equal([{ instanceUuid: UUID, protocol: "vnc", consoleType: "novnc" }]);
    });

    const malformed: [body: unknown, says: RegExp][] = [
      [{}, /one action/],
      [[], /one action/],
      ["x", /one action/],
      [{ "os-getSPICEConsole": { type: "spice-html5" }, reboot: {} }, /one action/],
      [{ "<b>": {} }, /^the body names no action that is known here$/],
      [{ "os-getSPICEConsole": { type: "novnc" } }, /^os-getSPICEConsole\.type must be one of spice-html5$/],
      [{ "os-getSPICEConsole": {} }, /^os-getSPICEConsole\.type must be present$/],
      [{ "os-getSPICEConsole": null }, /^os-getSPICEConsole must be object$/],
    ];
    for (const [body, says] of malformed) {
      it(`refuses ${JSON.stringify(body)}`, async () => {
        expectFault(await gateway.rest.post(`${SERVER}/action`, body), 400, "badRequest", says);
      });
    }
  });

  describe("os-console-auth-tokens", () => {
    const direct = { consoleType: "spice-direct", port: undefined, tlsPort: 5901 };

    it("tells what a token stands for, without saying what is not known", async () => {
      const { body } = await gateway.rest.lookup("t-1");
      expect(body).to.deep.equal({
        console: { instance_uuid: UUID, host: "127.0.0.1", port: 5900, internal_access_path: null },
      });
      expect(gateway.useCases.lookups).to.deep.equal(["t-1"]);
    });

    it("tells the TLS port from 2.99 on, of spice-direct alone", async () => {
      gateway.useCases.target = { ...gateway.useCases.target, ...direct };
      expect((await gateway.rest.lookup("t", { version: "2.98" })).body).not.to.have.nested.property(
        "console.tls_port",
      );
      const { body } = await gateway.rest.lookup("t", { version: "2.99" });
      expect(body).to.have.property("console").that.includes({ port: null, tls_port: 5901 });
      gateway.useCases.target = { ...gateway.useCases.target, consoleType: "spice-html5" };
      expect((await gateway.rest.lookup("t", { version: "2.99" })).body).not.to.have.nested.property(
        "console.tls_port",
      );
    });

    it("is refused before 2.31", async () => {
      expectFault(await gateway.rest.lookup("t", { version: "2.30" }), 400, "badRequest", /2\.31/);
    });

    it("is refused without a token", async () => {
      expectFault(await gateway.rest.lookup(""), 400, "badRequest", /^token must not be empty$/);
    });

    it("does not find what is too long for a token, and does not look for it", async () => {
      for (const token of ["t".repeat(129), "t".repeat(9_000)]) {
        expectFault(await gateway.rest.lookup(token), 404, "itemNotFound", /^the token is unknown/);
      }
      expect(gateway.useCases.lookups).to.be.empty;
      expect((await gateway.rest.lookup("t".repeat(128))).status).to.equal(200);
    });

    it("ignores a query up to 2.98 and refuses it from 2.99 on", async () => {
      expect((await gateway.rest.lookup("t", { version: "2.98", query: "?x=1" })).status).to.equal(200);
      expectFault(await gateway.rest.lookup("t", { version: "2.99", query: "?x=1" }), 400, "badRequest", /query/);
    });
  });

  describe("servers", () => {
    it("are listed with their ids, names and links, or with all that is known", async () => {
      const summary = (await gateway.rest.get("/v2.1/servers")).body;
      expect(summary).to.have.nested.property("servers[0].links[0].href", `http://${gateway.address}${SERVER}`);
      expect(summary).not.to.have.nested.property("servers[0].status");
      expect((await gateway.rest.get("/v2.1/servers/detail")).body).to.have.nested.property(
        "servers[0].status",
        "ACTIVE",
      );
      expect((await gateway.rest.get(SERVER)).body).to.have.nested.property("server.status", "ACTIVE");
    });

    it("go by the filters of the query", async () => {
      await gateway.rest.get(`/v2.1/p1/servers?name=%5Eweb&limit=7&marker=${UUID}`);
      const [{ filters, page } = { filters: undefined, page: undefined }] = gateway.useCases.lists;
      expect(filters).to.deep.include({ namePart: { text: "web", atStart: true, atEnd: false }, after: UUID });
      expect(page).to.deep.equal({ size: 7, token: "" });
    });

    it("that do not fit on a page are linked to", async () => {
      gateway.useCases.nextPageToken = "more";
      const { body } = await gateway.rest.get("/v2.1/p1/servers?limit=1&name=%22%3C&marker=" + UUID.replace("a", "0"));
      const [{ rel, href } = { rel: "", href: "" }] = (body as { servers_links: { rel: string; href: string }[] })
        .servers_links;
      expect(rel).to.equal("next");
      expect(href).to.equal(`http://${gateway.address}/v2.1/p1/servers?limit=1&name=%22%3C&marker=${UUID}`);
    });

    it("are none, without a link, where none are asked for", async () => {
      gateway.useCases.nextPageToken = "more";
      gateway.useCases.instances = [anInstance()];
      expect((await gateway.rest.get("/v2.1/servers?limit=0")).body).to.deep.equal({ servers: [] });
    });
  });

  describe("what is not as it should be", () => {
    it("is told in Nova's words", async () => {
      expectFault(await gateway.rest.get("/v2.1/nothing/here/at/all"), 404, "itemNotFound");
      const wrongMethod = await gateway.rest.get(SERVER, { method: "DELETE" });
      expectFault(wrongMethod, 405, "badMethod");
      expect(wrongMethod.headers.get("allow")).to.equal("GET, HEAD");
      const post = (rawBody: string, type = "application/json"): Promise<RestAnswer> =>
        gateway.rest.post(`${SERVER}/action`, {}, { rawBody, headers: { "content-type": type } });
      expectFault(await post("a=b", "application/x-www-form-urlencoded"), 415, "badMediaType");
      for (const text of ["{", "", "[".repeat(16_000), '{"__proto__":{}}'])
        expectFault(await post(text), 400, "badRequest", /^malformed request body/);
      expectFault(await post(`"${"x".repeat(16_384)}"`), 413, "overLimit");
      expect(gateway.useCases.consoles).to.be.empty;
    });

    it("is refused before there is a request: what is too long, no HTTP, or slow", async () => {
      await start({ requestMs: 200 });
      const long = `GET /${"x".repeat(20_000)} HTTP/1.1\r\n\r\n`;
      for (const [bytes, code] of [
        [long, 431],
        ["no HTTP\r\n\r\n", 400],
        ["POST /v2.1/servers HTTP/1.1\r\nHos", 408],
      ] as const) {
        const text = await within(`the answer to ${bytes.slice(0, 20)}`, gateway.raw(bytes));
        expect(text)
          .to.match(new RegExp(`^HTTP/1\\.1 ${code} `))
          .and.contain(`{"code":${code},`);
      }
    });

    it("is an error of ours where it is one, whose cause is in the log alone", async () => {
      gateway.useCases.issue = () => Promise.reject(new Error("secret detail"));
      const answer = await gateway.rest.remoteConsole(UUID);
      expectFault(answer, 500, "computeFault", /internal error/);
      expect(answer.text).not.to.contain("secret detail");
      expect(JSON.stringify(gateway.fake.at("error"))).to.contain("secret detail");
    });
  });

  describe("a request", () => {
    it("has one id in all spellings, in the log and for the use case; the client's own where it sends one", async () => {
      const headers = { "x-openstack-request-id": "req-mine" };
      const { headers: answered } = await gateway.rest.post(`${SERVER}/remote-consoles`, SPICE, {
        version: "2.6",
        headers,
      });
      for (const name of ["x-openstack-request-id", "x-compute-request-id", "x-request-id"]) {
        expect(answered.get(name)).to.equal("req-mine");
      }
      expect(gateway.useCases.contexts[0]).to.include({ requestId: "req-mine" });
      const made = await gateway.rest.get("/");
      expect(made.headers.get("x-compute-request-id")).to.match(/^req-[0-9a-f-]{36}$/);
    });

    it("leaves a line with its route in place of its address, and is measured", async () => {
      await gateway.rest.lookup("a-secret");
      await until("the line", () => gateway.fake.at("info").some(({ status }) => status === 200));
      const line = gateway.fake.at("info").find(({ status }) => status === 200);
      expect(line).to.include({
        route: "/v2.1/os-console-auth-tokens/{token}",
        subject: "tester",
        reason: "OK",
      });
      expect(JSON.stringify(gateway.fake.at("info"))).not.to.contain("a-secret");
      expect(await gateway.registry.metrics()).to.match(
        /spicegate_gateway_seconds_count\{route="[^"]+",reason="OK"\} 1/,
      );
    });

    it("has a bounded time, and is cancelled when its client goes away", async () => {
      let answer: () => void = () => undefined;
      const asked = new Promise<void>((resolve) => {
        gateway.useCases.issue = () => {
          resolve();
          return new Promise((_resolve, reject) => (answer = () => reject(new ServiceError("CANCELLED", "gone"))));
        };
      });
      const client = new AbortController();
      const sent = gateway.rest.post(`${SERVER}/remote-consoles`, SPICE, { version: "2.6", signal: client.signal });
      sent.catch(() => undefined);
      await within("the use case", asked);
      const [context] = gateway.useCases.contexts;
      expect(context?.remainingMs()).to.be.within(1, GATEWAY_REQUEST_MS);
      client.abort();
      await until("the signal", () => context?.signal.aborted === true);
      answer();
    });

    it("is answered while the gateway stops, a new one on its connection with 503", async () => {
      let answer: () => void = () => undefined;
      const asked = new Promise<void>((resolve) => {
        const issue = gateway.useCases.issue;
        gateway.useCases.issue = () => {
          resolve();
          return new Promise((go) => (answer = () => go(issue())));
        };
      });
      const request = (method: string, path: string, body = ""): string =>
        `${method} ${path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: t\r\nOpenStack-API-Version: compute 2.6\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const late = await gateway.connect();
      const idle = gateway.rest.remoteConsole(UUID);
      await within("the use case", asked);
      let text = "";
      late.setEncoding("latin1").on("data", (data: string) => (text += data));
      late.write(request("GET", SERVER).slice(0, 40));
      await until("the first half of the late request", () => late.bytesWritten === 40);
      const stopped = gateway.server.stop();
      late.write(request("GET", SERVER).slice(40));
      await until("the refusal", () => text.includes("serviceUnavailable"));
      expect(text)
        .to.match(/^HTTP\/1\.1 503 /)
        .and.match(/\r\nretry-after: 1\r\n/i);
      answer();
      expect(consoleUrlOf(await idle)).to.equal(URL);
      await within("the stop", stopped);
      late.destroy();
    });
  });
});
