// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Counter } from "prom-client";
import { silentLog } from "../../../src/lib/log.js";
import { createRegistry } from "../../../src/telemetry/metrics.js";
import { Readiness } from "../../../src/telemetry/readiness.js";
import { TelemetryServer } from "../../../src/telemetry/telemetry-server.js";
import { rejectionOf } from "../../harness/rejection.js";

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
