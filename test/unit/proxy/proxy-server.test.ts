// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import { ServiceError } from "../../../src/lib/service-error.js";
import { rejectionOf } from "../../harness/rejection.js";
import { until, within } from "../../harness/within.js";
import { COOKIE, firstBytes, PROOF, ProxyUnderTest, received, SESSION, SESSION_ID } from "./proxy-harness.js";

const OTHER_COOKIE = `spicegate_session=${"q".repeat(43)}`;
const STATUS = `/s/${SESSION_ID}/status`;

interface Problem {
  readonly reason: string;
  readonly message: string;
  readonly request_id: string;
  readonly retry_after_ms?: number;
}

const problemOf = async (response: Response): Promise<Problem> => (await response.json()) as Problem;

describe("proxy server", () => {
  let proxy: ProxyUnderTest;

  beforeEach(async () => (proxy = await new ProxyUnderTest().start()));
  afterEach(() => proxy.stop());

  describe("redeeming", () => {
    it("turns a token into a session with a cookie of its own path", async () => {
      const response = await proxy.redeem("good", { "x-request-id": "r-1", origin: proxy.origin });
      expect(response.status).to.equal(201);
      expect(response.headers.get("set-cookie")).to.equal(
        `spicegate_session=${PROOF}; Path=/s/${SESSION_ID}; HttpOnly; SameSite=Strict`,
      );
      expect(await response.json()).to.deep.equal({
        session_id: SESSION_ID,
        path: `/s/${SESSION_ID}/`,
        instance: { uuid: SESSION.instanceUuid, name: "web-1" },
        console_type: "spice-html5",
        view_only: false,
        expires_at: "2030-01-02T03:04:05.000Z",
      });
      expect(proxy.viewers.contexts[0]).to.include({ requestId: "r-1", clientAddress: "127.0.0.1" });
    });

    it("says null where a session has no end", async () => {
      proxy.viewers.redeem = () => Promise.resolve({ session: { ...SESSION, expiresAt: undefined }, proof: PROOF });
      expect(await (await proxy.redeem("good")).json()).to.include({ expires_at: null });
    });

    it("answers each refusal with the status of its reason", async () => {
      const statuses = {
        TOKEN_INVALID: 401,
        TOKEN_EXPIRED: 401,
        TOKEN_USED: 401,
        CONSOLE_TYPE_INVALID: 400,
        INSTANCE_NOT_RUNNING: 409,
        TARGET_CHANGED: 409,
        INSTANCE_NOT_FOUND: 404,
        HOST_LACKS_SPICE: 501,
        AGENT_UNAVAILABLE: 503,
        DATABASE_UNAVAILABLE: 503,
        AGENT_TIMEOUT: 504,
        LIMITED: 429,
      } as const;
      for (const [reason, status] of Object.entries(statuses) as [keyof typeof statuses, number][]) {
        proxy.viewers.redeem = () => Promise.reject(new ServiceError(reason, "in words"));
        const response = await proxy.redeem("x", { "x-request-id": "r-2" });
        expect(response.status, reason).to.equal(status);
        expect(response.headers.get("x-request-id")).to.equal("r-2");
        expect(response.headers.get("set-cookie")).to.equal(null);
        const retryMs = new ServiceError(reason, "").mapping.retryMs;
        const retry = retryMs === undefined ? {} : { retry_after_ms: retryMs };
        expect(await problemOf(response)).to.deep.equal({ reason, message: "in words", request_id: "r-2", ...retry });
        expect(response.headers.get("retry-after")).to.equal(retryMs === undefined ? null : String(retryMs / 1_000));
      }
    });

    it("keeps the unknown to the log, under an id", async () => {
      proxy.viewers.redeem = () => Promise.reject(new Error("password=hunter2"));
      const response = await proxy.redeem("x");
      expect(response.status).to.equal(500);
      const { reason, message } = await problemOf(response);
      expect(reason).to.equal("INTERNAL");
      expect(message).not.to.include("hunter2");
      await until("the line", () => proxy.log.at("error").length === 1);
      const [line] = proxy.log.at("error");
      expect(message).to.include(line!["error_id"]);
      expect(JSON.stringify(line)).to.include("hunter2");
    });

    it("takes nothing but a token in JSON", async () => {
      const bodies: [string, string, number][] = [
        ["application/json", "", 400],
        ["application/json", "{", 400],
        ["application/json", "null", 400],
        ["application/json", '"good"', 400],
        ["application/json", "{}", 400],
        ["application/json", '{"token":""}', 400],
        ["application/json", '{"token":7}', 400],
        ["application/json", '{"token":["good"]}', 400],
        ["application/json", `{"token":"${"x".repeat(129)}"}`, 400],
        ["application/json", '{"token":"good","more":1}', 400],
        ["application/json", '{"token":"good","__proto__":{"a":1}}', 400],
        ["application/json", '{"token":"good","constructor":{"prototype":{"a":1}}}', 400],
        ["text/plain", '{"token":"good"}', 415],
        ["application/x-www-form-urlencoded", "token=good", 415],
        ["application/json", `{"token":"good"${" ".repeat(1_024)}}`, 413],
      ];
      for (const [type, body, status] of bodies) {
        const response = await proxy.fetch("/api/sessions", {
          method: "POST",
          body,
          headers: { "content-type": type },
        });
        expect(response.status, body).to.equal(status);
        const problem = await problemOf(response);
        expect(problem.reason).to.equal("INVALID_ARGUMENT");
        expect(problem.message).not.to.include("good");
      }
      expect(proxy.viewers.contexts).to.have.length(0);
      const duplicate = {
        method: "POST",
        body: '{"token":"bad","token":"good"}',
        headers: { "content-type": "application/json" },
      };
      expect((await proxy.fetch("/api/sessions", duplicate)).status).to.equal(201);
    });

    it("tells the use case when the viewer leaves", async () => {
      proxy.viewers.redeem = () => new Promise(() => undefined);
      const leaving = new AbortController();
      const body = '{"token":"good"}';
      const headers = { "content-type": "application/json" };
      const asked = proxy.fetch("/api/sessions", { method: "POST", body, headers, signal: leaving.signal });
      await until("the use case", () => proxy.viewers.contexts.length === 1);
      const { signal } = proxy.viewers.contexts[0]!;
      expect(signal.aborted).to.equal(false);
      leaving.abort();
      await rejectionOf(asked);
      await until("the signal", () => signal.aborted);
      await until("the line", () => proxy.log.at("info").some((line) => line["reason"] === "CANCELLED"));
    });

    it("does not take an answered request for one whose viewer left", async () => {
      await proxy.redeem("good");
      await until("the line", () => proxy.log.at("info").some((line) => line["reason"] === "OK"));
      expect(proxy.viewers.contexts[0]!.signal.aborted).to.equal(false);
    });
  });

  describe("a session's status and end", () => {
    const withCookie = { headers: { cookie: COOKIE } };

    it("says how it stands", async () => {
      proxy.viewers.stand = () =>
        Promise.resolve({
          state: "open",
          session: { ...SESSION, viewOnly: true },
          instance: { name: "new", powerState: "paused" },
          draining: true,
          idle: { leftS: 42.5, warnedAtS: 60 },
        });
      const response = await proxy.fetch(STATUS, withCookie);
      expect(response.status).to.equal(200);
      expect(await response.json()).to.deep.equal({
        state: "open",
        instance: { uuid: SESSION.instanceUuid, name: "new", power_state: "paused" },
        expires_at: "2030-01-02T03:04:05.000Z",
        view_only: true,
        draining: true,
        idle: { seconds_left: 42.5, warned_at: 60 },
      });
      proxy.viewers.stand = () => Promise.resolve({ state: "ended", reason: "TERMINATED" });
      expect(await (await proxy.fetch(STATUS, withCookie)).json()).to.deep.equal({
        state: "ended",
        reason: "TERMINATED",
      });
    });

    it("falls back to what the session knows while the inventory knows nothing", async () => {
      const status = (await (await proxy.fetch(STATUS, withCookie)).json()) as { instance: object };
      expect(status.instance).to.include({ name: "web-1", power_state: "unknown" });
      expect(status).to.include({ idle: null });
    });

    it("answers whoever cannot prove it as if it did not exist, with 200", async () => {
      const asked = [
        proxy.fetch(STATUS),
        proxy.fetch(STATUS, { headers: { cookie: OTHER_COOKIE } }),
        proxy.fetch(`/s/${"B".repeat(22)}/status`, withCookie),
      ];
      const answers = await Promise.all(asked.map(async (response) => (await response).text()));
      expect(new Set(answers)).to.have.length(1);
      expect(JSON.parse(answers[0]!)).to.include({ state: "refused", reason: "SESSION_NOT_FOUND" });
      expect((await asked[0]!).status).to.equal(200);
      proxy.viewers.stand = () => Promise.reject(new ServiceError("DATABASE_UNAVAILABLE", "later"));
      const away = { state: "refused", reason: "DATABASE_UNAVAILABLE", message: "later" };
      expect(await (await proxy.fetch(STATUS, withCookie)).json()).to.deep.equal(away);
    });

    it("ends for its own viewer only", async () => {
      const remove = (headers: Record<string, string>) =>
        proxy.fetch(`/s/${SESSION_ID}/`, { method: "DELETE", headers });
      expect((await remove({})).status).to.equal(404);
      expect((await remove({ cookie: OTHER_COOKIE })).status).to.equal(404);
      const foreign = await remove({ cookie: COOKIE, origin: "http://127.0.0.1:1" });
      expect([foreign.status, (await problemOf(foreign)).reason]).to.deep.equal([403, "ORIGIN_REFUSED"]);
      expect(proxy.viewers.ended).to.deep.equal([]);
      // The other cookie is a proof, which only the use case can refuse.
      expect(proxy.refused).to.deep.equal([
        ["SESSION_NOT_FOUND", SESSION_ID],
        ["ORIGIN_REFUSED", SESSION_ID],
      ]);
      const response = await remove({ cookie: COOKIE, origin: proxy.origin });
      expect([response.status, await response.text()]).to.deep.equal([204, ""]);
      expect(proxy.viewers.ended).to.deep.equal([SESSION_ID]);
    });
  });

  describe("addresses", () => {
    it("answers 404 where nothing is, whatever the method and body", async () => {
      for (const path of [
        "/x",
        "/api",
        "/api/sessions/",
        "/s",
        "/s/",
        "/s/short/",
        "/s/short/status",
        `/s/${SESSION_ID}/x`,
        `/s/${SESSION_ID.slice(1)}./`,
        "/console/x",
        "/CONSOLE",
      ]) {
        for (const method of ["GET", "POST"]) {
          const body = method === "GET" ? {} : { body: "<x/>", headers: { "content-type": "application/json" } };
          const response = await proxy.fetch(path, { method, ...body });
          expect([response.status, (await problemOf(response)).reason], `${method} ${path}`).to.deep.equal([
            404,
            "NOT_FOUND",
          ]);
        }
      }
    });

    it("answers 405 with the methods that there are", async () => {
      const allowed: [string, string, string][] = [
        ["POST", "/console", "GET, HEAD"],
        ["GET", "/api/sessions", "POST"],
        ["OPTIONS", "/api/sessions", "POST"],
        ["PUT", `/s/${SESSION_ID}/`, "GET, HEAD, DELETE"],
        ["PROPFIND", "/assets/page.js", "GET, HEAD"],
        ["PATCH", "/healthz", "GET, HEAD"],
      ];
      for (const [method, path, allow] of allowed) {
        const body =
          method === "GET" || method === "OPTIONS" ? {} : { body: "<x/>", headers: { "content-type": "text/xml" } };
        const response = await proxy.fetch(path, { method, ...body });
        expect([response.status, response.headers.get("allow")], `${method} ${path}`).to.deep.equal([405, allow]);
        expect((await problemOf(response)).reason).to.equal("METHOD_NOT_ALLOWED");
      }
    });

    it("sends a session's address to the one with a slash, and nobody anywhere else", async () => {
      const response = await proxy.fetch(`/s/${SESSION_ID}?to=//evil.example`);
      expect([response.status, response.headers.get("location")]).to.deep.equal([308, `/s/${SESSION_ID}/`]);
      for (const path of [
        "//evil.example",
        "//evil.example/..",
        "/\\evil.example",
        "/s//evil.example",
        "/s/%2f%2fevil.example",
        "/console//",
        "/s/http:%2f%2fevil",
      ]) {
        const answer = await proxy.exchange(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
        expect(answer, path).to.match(/^HTTP\/1.1 404 /);
        expect(answer.toLowerCase(), path).not.to.include("location:");
      }
    });

    it("sends whoever types the bare name to the page, without what the query says", async () => {
      const response = await proxy.fetch("/?token=x&to=//evil.example");
      expect([response.status, response.headers.get("location")]).to.deep.equal([302, "/console"]);
      expect(response.headers.get("cache-control")).to.equal("no-store");
      expect((await proxy.fetch("/", { method: "POST" })).status).to.equal(405);
    });

    it("tells whether it lives and whether it is ready", async () => {
      expect(await (await proxy.fetch("/healthz")).text()).to.equal("ok\n");
      const waiting = await proxy.fetch("/readyz");
      expect(waiting.status).to.equal(503);
      expect(await waiting.json()).to.deep.equal({
        ready: false,
        conditions: { database: { ok: false, detail: "not yet" } },
      });
      proxy.readiness.set("database", true);
      expect((await proxy.fetch("/readyz")).status).to.equal(200);
    });

    it("explains what is missing where a balancer drops the upgrade", async () => {
      const response = await proxy.fetch(`/s/${SESSION_ID}/channel`);
      expect([response.status, response.headers.get("upgrade")]).to.deep.equal([426, "websocket"]);
    });

    it("refuses an address that cannot be decoded", async () => {
      const answer = await proxy.exchange("GET /s/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
      expect(answer)
        .to.match(/^HTTP\/1.1 400 /)
        .and.to.include('"reason":"INVALID_ARGUMENT"');
      expect(answer).to.include("content-security-policy");
    });
  });

  describe("headers", () => {
    it("guards every response, served or refused", async () => {
      const asked = ["/console", "/assets/page.js", "/nothing", STATUS, `/s/${SESSION_ID}`, "/healthz", "/s/%zz"];
      for (const path of asked) {
        const { headers } = await proxy.fetch(path);
        expect(headers.get("content-security-policy"), path).to.equal(
          "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; media-src blob:; " +
            "style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
        );
        expect(headers.get("x-content-type-options")).to.equal("nosniff");
        expect(headers.get("referrer-policy")).to.equal("no-referrer");
        expect(headers.get("cross-origin-opener-policy")).to.equal("same-origin");
        expect(headers.get("cache-control")).to.equal(path.startsWith("/assets/") ? "max-age=300" : "no-store");
        expect(headers.get("x-request-id")).to.match(/^[0-9a-f-]{36}$/);
      }
      const upgrade = await proxy.exchange(proxy.upgrade({ cookie: undefined }));
      expect(upgrade)
        .to.include("content-security-policy: default-src 'none'")
        .and.to.match(/x-request-id: [0-9a-f-]{36}\r\n/);
    });
  });

  describe("log and metrics", () => {
    it("has one line per request, with neither token nor cookie nor session", async () => {
      await proxy.redeem("secret-token");
      await proxy.redeem("good", { cookie: COOKIE });
      await proxy.fetch(STATUS, { headers: { cookie: COOKIE, "x-request-id": "r-9" } });
      await proxy.fetch(`/nothing/${PROOF}?token=secret-token`);
      await proxy.exchange(proxy.upgrade({ cookie: OTHER_COOKIE }));
      const lines = (): Record<string, unknown>[] =>
        [...proxy.log.at("info"), ...proxy.log.at("debug")].filter(({ route }) => route !== undefined);
      await until("the lines", () => lines().length >= 5);
      const shown = lines().map(({ method, route, status, reason }) => [method, route, status, reason].join(" "));
      expect(shown).to.have.members([
        "POST /api/sessions 401 TOKEN_INVALID",
        "POST /api/sessions 201 OK",
        "GET /s/{session}/status 200 OK",
        "GET unknown 404 NOT_FOUND",
        "GET /s/{session}/channel 404 SESSION_NOT_FOUND",
      ]);
      expect(lines().find(({ requestId }) => requestId === "r-9")).to.include({ client: "127.0.0.1" });
      const all = JSON.stringify(lines());
      for (const secret of ["secret-token", PROOF, SESSION_ID, "qqqq"]) expect(all).not.to.include(secret);
      const metrics = await proxy.registry.metrics();
      expect(metrics).to.include('spicegate_proxy_seconds_count{route="/api/sessions",reason="TOKEN_INVALID"} 1');
    });

    it("takes a request id that is printable and short, else makes one", async () => {
      const id = async (given: string): Promise<string | null> =>
        (await proxy.fetch("/healthz", { headers: { "x-request-id": given } })).headers.get("x-request-id");
      expect(await id("r-1")).to.equal("r-1");
      for (const given of ["a b", "x".repeat(129), "é"]) expect(await id(given)).to.match(/^[0-9a-f-]{36}$/);
    });
  });

  describe("start and stop", () => {
    it("says that its port is taken", async () => {
      const second = new ProxyUnderTest({ listen: { host: "127.0.0.1", port: proxy.server.port } });
      expect((await rejectionOf(second.start())).message).to.match(/proxy cannot listen on .*EADDRINUSE/);
      await second.stop();
    });

    it("says what to do where the page was not built", async () => {
      const other = new ProxyUnderTest({ pageFolder: "/nowhere" });
      expect((await rejectionOf(other.start())).message).to.equal("there is no page in /nowhere; run `make build`");
      await other.stop();
    });

    it("refuses new sessions and channels with DRAINING, on connections that it still has", async () => {
      let answer = (): void => undefined;
      proxy.viewers.redeem = () =>
        new Promise((resolve) => (answer = () => resolve({ session: SESSION, proof: PROOF })));
      const sockets = [proxy.connect(), proxy.connect()] as const;
      const answers = sockets.map((socket) => received(socket));
      // Each has begun a request: the stop leaves it time.
      await Promise.all(
        sockets.map((socket) => {
          socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n");
          return once(socket, "connect");
        }),
      );
      const running = proxy.redeem("good");
      await until("the request", () => proxy.viewers.contexts.length === 1);
      const stopped = proxy.stop();
      const body = '{"token":"good"}';
      const post = `POST /api/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      sockets[0].write(`\r\n${post}${body}`);
      sockets[1].write(`\r\n${proxy.upgrade({ origin: undefined })}`);
      const refused = (): unknown[] => proxy.log.at("info").filter(({ reason }) => reason === "DRAINING");
      await until("the refusals", () => refused().length === 2);
      answer();
      expect((await running).status).to.equal(201);
      await within("the stop", stopped);
      for (const text of await Promise.all(answers)) {
        expect(text)
          .to.include("HTTP/1.1 503 ")
          .and.to.include('"reason":"DRAINING"')
          .and.to.include("retry-after: 1\r\n");
      }
      expect(proxy.viewers.contexts).to.have.length(1);
      proxy = await new ProxyUnderTest().start();
    });

    it("ends in spite of an open WebSocket and a request that hangs", async () => {
      const stuck = await new ProxyUnderTest({ finishMs: 50 }).start();
      stuck.viewers.redeem = () => new Promise(() => undefined);
      const request = stuck.redeem("good");
      const socket = stuck.connect();
      socket.write(stuck.upgrade());
      expect(await firstBytes(socket)).to.match(/^HTTP\/1.1 101 /);
      const idle = stuck.connect();
      await Promise.all([once(idle, "connect"), until("the request", () => stuck.viewers.contexts.length === 2)]);
      const closed = Promise.all([received(socket), received(idle)]);
      await Promise.all([
        within("the stop", stuck.stop()),
        rejectionOf(request),
        within("the connections' end", closed),
      ]);
      expect(stuck.log.at("warn")).to.have.length(1);
      await stuck.server.stop();
    });
  });
});
