// SPDX-License-Identifier: Apache-2.0
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { randomBytes, randomUUID } from "node:crypto";
import http from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { waitUntil } from "../../demo/wait-until.js";
import { GetSpiceConsoleRequest } from "../../proto/gen/spicegate/console/v1/console.js";
import { ListInstancesRequest } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { Deployment } from "../harness/deployment.js";
import { errorDetails } from "../harness/grpc-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { Load } from "../harness/load.js";
import { openDescriptors, residentMiB } from "../harness/process-facts.js";
import { within } from "../harness/within.js";

const MIB = 1024 * 1024;
const CONSOLE = "/spicegate.console.v1.ConsoleService";
const INVENTORY = "/spicegate.inventory.v1.InventoryService";
const GROWTH_MIB = 200;
// The telemetry server's own deadline for a request, with some patience.
const SLOW_MS = 15_000;

describe("callers send garbage", function () {
  this.timeout(60_000);
  let deployment: Deployment;
  let machine: DemoMachine;
  let load: Load;
  let client: Client;
  let memoryBefore: number;

  before(async () => {
    const libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "polite", displays: ["spice-tcp"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri, controller: { log: { level: "warn" } } });
    await deployment.knows(machine.uuid);
    client = newClient();
    load = Load.start(deployment, machine.uuid, { callers: 2 });
    await load.recovers();
    memoryBefore = residentMiB(deployment.controller.pid);
  });
  afterEach("polite callers are served on", async () => {
    await load.sees("OK", 10);
    expect(load.outcomes.filter((outcome) => !["OK", "LIMITED", "DATABASE_UNAVAILABLE"].includes(outcome))).to.be.empty;
  });
  after(async () => {
    client.close();
    await load.stop();
    await deployment.stop();
  });

  const get = (fields: Partial<GetSpiceConsoleRequest>): Uint8Array =>
    GetSpiceConsoleRequest.encode({ instanceUuid: "", consoleType: "", ...fields }).finish();
  const list = (fields: object): Uint8Array =>
    ListInstancesRequest.encode(ListInstancesRequest.fromPartial(fields)).finish();

  const refused: readonly [string, string, () => Uint8Array, keyof typeof status][] = [
    ["a uuid of 1 MB", `${CONSOLE}/GetSpiceConsole`, () => get({ instanceUuid: "a".repeat(1e6) }), "INVALID_ARGUMENT"],
    [
      "a console type of 1 MB",
      `${CONSOLE}/GetSpiceConsole`,
      () => get({ consoleType: "x".repeat(1e6) }),
      "INVALID_ARGUMENT",
    ],
    ["a token of 1 MB", `${CONSOLE}/LookupConsoleToken`, () => text(1, "t".repeat(1e6)), "INVALID_ARGUMENT"],
    ["a NUL in a uuid", `${CONSOLE}/GetSpiceConsole`, () => get({ instanceUuid: "\0" }), "INVALID_ARGUMENT"],
    [
      "a control character in a type",
      `${CONSOLE}/GetSpiceConsole`,
      () => get({ instanceUuid: randomUUID(), consoleType: "\x1b[2J" }),
      "INVALID_ARGUMENT",
    ],
    [
      "a message over 1 MiB",
      `${CONSOLE}/GetSpiceConsole`,
      () => get({ instanceUuid: "a".repeat(MIB + 1) }),
      "RESOURCE_EXHAUSTED",
    ],
    [
      "bytes that are no message",
      `${CONSOLE}/GetSpiceConsole`,
      () => Buffer.from([0xff, 0xff, 0xff]),
      "INVALID_ARGUMENT",
    ],
    ["a field of another wire type", `${CONSOLE}/GetSpiceConsole`, () => Buffer.from([0x08, 0x01]), "INVALID_ARGUMENT"],
    [
      "text that is not UTF-8",
      `${CONSOLE}/GetSpiceConsole`,
      () => Buffer.from([0x0a, 2, 0xc3, 0x28]),
      "INVALID_ARGUMENT",
    ],
    ["groups in groups", `${CONSOLE}/GetSpiceConsole`, () => Buffer.alloc(200_000, 0x7b), "INVALID_ARGUMENT"],
    ["a huge page size", `${INVENTORY}/ListInstances`, () => list({ pageSize: 2 ** 32 - 1 }), "INVALID_ARGUMENT"],
    ["a broken page token", `${INVENTORY}/ListInstances`, () => list({ pageToken: "%%%" }), "INVALID_ARGUMENT"],
    [
      "a random page token",
      `${INVENTORY}/ListInstances`,
      () => list({ pageToken: randomBytes(64).toString("base64url") }),
      "INVALID_ARGUMENT",
    ],
    [
      "a page token of 1 MB",
      `${INVENTORY}/ListInstances`,
      () => list({ pageToken: "a".repeat(1e6) }),
      "INVALID_ARGUMENT",
    ],
    ["a method that is not there", `${CONSOLE}/MakeCoffee`, () => get({}), "UNIMPLEMENTED"],
    ["a service that is not there", "/a.b.C/D", () => get({}), "UNIMPLEMENTED"],
  ];
  for (const [what, path, bytes, code] of refused) {
    it(`answers ${code} to ${what}`, async () => {
      const answer = await ask(path, Buffer.from(bytes()));
      expect(answer.code).to.equal(code);
      if (code === "INVALID_ARGUMENT") expect(answer.reason).to.equal("INVALID_ARGUMENT");
      expect(answer.details).to.have.length.below(1_000);
    });
  }

  it("ignores fields that it does not know", async () => {
    const known = get({ instanceUuid: machine.uuid });
    const answer = await ask(`${CONSOLE}/GetSpiceConsole`, Buffer.concat([known, text(100, "x".repeat(1_000))]));
    expect(answer.code).to.equal("OK");
  });

  it("makes up a request id where the caller's is too long, and serves the call", async () => {
    const metadata = new Metadata();
    metadata.set("x-request-id", "r".repeat(8_000));
    metadata.set("x-other", "o".repeat(4_000));
    const answer = await ask(`${CONSOLE}/GetSpiceConsole`, Buffer.from(get({ instanceUuid: machine.uuid })), metadata);
    expect(answer.code).to.equal("OK");
    expect(answer.requestId).to.match(/^[0-9a-f-]{36}$/);
  });

  it("refuses headers beyond what HTTP/2 lets it take, on that call only", async () => {
    const metadata = new Metadata();
    for (let index = 0; index < 20; index += 1) metadata.set(`x-bomb-${index}`, "b".repeat(16_384));
    const answer = await ask(`${CONSOLE}/GetSpiceConsole`, Buffer.from(get({ instanceUuid: machine.uuid })), metadata);
    // HTTP/2 itself resets the stream, which grpc-js calls INTERNAL.
    expect(answer.code).to.equal("INTERNAL");
  });

  it("ends the connection of an HTTP/1.1 client on a gRPC port", async () => {
    for (const address of [deployment.api, deployment.agents]) {
      const socket = dial(address);
      socket.write(`GET / HTTP/1.1\r\nHost: ${address}\r\n\r\n`);
      await closed(socket);
    }
  });

  it("ends connections that carry random bytes, on every port", async () => {
    for (const address of [deployment.api, deployment.agents, deployment.telemetry]) {
      const sockets = Array.from({ length: 20 }, () => dial(address));
      for (const socket of sockets) socket.write(randomBytes(64 * 1_024));
      await Promise.all(sockets.map((socket) => closed(socket)));
    }
  });

  it("answers HTTP/2 requests that are no gRPC with a status of HTTP", async () => {
    const session = connectHttp2(`http://${deployment.api}`);
    const request = session.request({ ":path": "/", ":method": "GET" });
    const code = new Promise((resolve) => request.on("response", (headers) => resolve(headers[":status"])));
    expect(await within("an answer", code)).to.equal(415);
    session.destroy();
  });

  it("does not wait for ever for a request to telemetry that never ends", async () => {
    const sockets = Array.from({ length: 50 }, () => dial(deployment.telemetry));
    for (const socket of sockets) socket.write("GET /metrics HTTP/1.1\r\nX-Slow: ");
    expect(await scrape()).to.equal(200);
    await Promise.all(sockets.map((socket) => closed(socket, SLOW_MS)));
  });

  it("takes a thousand connections at once, and lets go of them", async () => {
    const pid = deployment.controller.pid;
    const before = openDescriptors(pid);
    const sockets = Array.from({ length: 1_000 }, (_, index) => {
      return dial([deployment.api, deployment.agents, deployment.telemetry][index % 3]!);
    });
    const taken = (): boolean => openDescriptors(pid) >= before + 1_000;
    await waitUntil(taken, { ms: 10_000, what: "a thousand connections" });
    expect(await scrape()).to.equal(200);
    expect((await deployment.getConsole(machine.uuid)).ok).to.equal(true);
    for (const socket of sockets) socket.destroy();
    const gone = (): boolean => openDescriptors(pid) < before + 50;
    await waitUntil(gone, { ms: 10_000, what: "the end of the connections" });
  });

  it("answers a thousand calls at once, at worst with a request to come back", async () => {
    const results = await Promise.all(Array.from({ length: 1_000 }, () => deployment.getConsole(machine.uuid)));
    const reasons = new Set(results.map((result) => (result.ok ? "OK" : result.failure.reason)));
    expect([...reasons]).to.include("OK");
    expect([...reasons].filter((reason) => !["OK", "LIMITED", "DATABASE_UNAVAILABLE"].includes(reason))).to.be.empty;
    for (const result of results) if (!result.ok) expect(result.failure.retry).to.not.equal(undefined);
  });

  it("has not made the controller grow, after all of this", () => {
    expect(residentMiB(deployment.controller.pid) - memoryBefore).to.be.below(GROWTH_MIB);
  });

  interface Answer {
    readonly code: string;
    readonly reason: string | undefined;
    readonly details: string;
    readonly requestId: unknown;
  }

  /** A connection of its own, since what breaks one may not break another's calls. */
  function newClient(): Client {
    const options = { "grpc.use_local_subchannel_pool": 1, "grpc.max_send_message_length": -1 };
    return new Client(deployment.api, credentials.createInsecure(), options);
  }

  function ask(path: string, bytes: Buffer, metadata = new Metadata()): Promise<Answer> {
    const same = (buffer: Buffer): Buffer => buffer;
    return new Promise((resolve) => {
      let requestId: unknown;
      const deadline = Date.now() + 10_000;
      const call = client.makeUnaryRequest(path, same, same, bytes, metadata, { deadline }, (error) => {
        const code = status[error?.code ?? status.OK];
        const reason = error ? errorDetails(error.metadata).info?.reason : undefined;
        resolve({ code, reason, details: error?.details ?? "", requestId });
      });
      call.on("metadata", (headers: Metadata) => ([requestId] = headers.get("x-request-id")));
    });
  }

  function scrape(): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const request = http.get(`http://${deployment.telemetry}/metrics`, { agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
    });
  }
});

function dial(address: string): Socket {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host);
  socket.on("error", () => undefined);
  socket.resume();
  return socket;
}

/** Waits until the other side has ended the connection. */
function closed(socket: Socket, ms = 10_000): Promise<void> {
  return within("the end of a connection", new Promise((resolve) => socket.once("close", () => resolve())), ms);
}

/** A field of a message, in the wire format: a string. */
function text(field: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}
