// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { connect } from "node:net";
import { Counter, Registry } from "prom-client";
import { listenerTls } from "../../../src/lib/listener-tls.js";
import { silentLog } from "../../../src/lib/log.js";
import { createControllerMetrics } from "../../../src/telemetry/controller-metrics.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { TelemetryServer } from "../../../src/telemetry/telemetry-server.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { within } from "../../harness/within.js";

describe("TelemetryServer", () => {
  const registry = createRegistry();
  const readiness = new Readiness(["database"]);
  const options = { listen: { host: "127.0.0.1", port: 0 }, registry, readiness, log: silentLog };
  const server = new TelemetryServer(options);
  const get = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`, init);

  before(() => server.start());
  after(() => server.stop());

  it("is healthy while it runs", async () => {
    expect((await get("/healthz")).status).to.equal(200);
  });

  it("is ready only when the conditions hold, and shows them", async () => {
    const before = await get("/readyz");
    expect(before.status).to.equal(503);
    expect(await before.json()).to.deep.equal({
      ready: false,
      conditions: { database: { ok: false, detail: "not yet" } },
    });
    readiness.set("database", true);
    expect((await get("/readyz")).status).to.equal(200);
  });

  it("shows the metrics", async () => {
    new Counter({ name: "test_total", help: "x", registers: [registry] }).inc(3);
    expect(await (await get("/metrics")).text()).to.include("test_total 3");
  });

  it("refuses other paths and methods", async () => {
    expect((await get("/nothing")).status).to.equal(404);
    expect((await get("/metrics", { method: "POST" })).status).to.equal(405);
  });

  it("answers over TLS where it has a certificate, and stops amid a handshake", async () => {
    const authority = new TestAuthority();
    const { certFile, keyFile } = authority.issue();
    const metrics = createControllerMetrics(new Registry());
    const settings = { cert: certFile, key: keyFile, insecure: false };
    const { tls, parts } = listenerTls("telemetry", settings, { metrics, log: silentLog });
    const secure = new TelemetryServer({ ...options, tls });
    for (const { part } of parts) await part.start();
    await secure.start();
    const silent = connect(secure.port, "127.0.0.1").on("error", () => undefined);
    try {
      const asking = request({
        port: secure.port,
        host: "127.0.0.1",
        path: "/healthz",
        ca: authority.cert,
        agent: false,
      });
      asking.end();
      const [response] = (await within("an answer", once(asking, "response"))) as [IncomingMessage];
      response.resume();
      expect(response.statusCode).to.equal(200);
      expect(parts.map(({ name }) => name)).to.deep.equal(["telemetry certificate"]);
      await within("the stop", secure.stop(), 2_000);
    } finally {
      silent.destroy();
      for (const { part } of parts) await part.stop();
      authority.remove();
    }
  });

  it("says that its port is taken", async () => {
    const second = new TelemetryServer({ ...options, listen: { host: "127.0.0.1", port: server.port } });
    expect((await rejectionOf(Promise.resolve(second.start()))).message).to.match(/EADDRINUSE/);
  });

  it("stops twice, and when it never started", async () => {
    const other = new TelemetryServer(options);
    await other.stop();
    await other.start();
    await other.stop();
    await other.stop();
  });
});
