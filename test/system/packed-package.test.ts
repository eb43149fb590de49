// SPDX-License-Identifier: Apache-2.0
// The npm package as it is published: what is in it, and that a controller, a client and foreign stubs can be run from it.
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ChildProgram } from "../../demo/child-program.js";
import { freePort } from "../../demo/ports.js";
import { createRunFolder, removeRunFolder } from "../../demo/run-folder.js";
import { PROJECT_FOLDER, isReady } from "../../demo/spicegate-programs.js";
import { waitUntil } from "../../demo/wait-until.js";
import { InventoryServiceClient } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { FAKE_ENDPOINT, FakeAgent, fakeDomain } from "../fakes/fake-agent.js";
import { callUnary } from "../harness/grpc-client.js";
import { PackedPackage } from "../harness/packed-package.js";
import { outputOf } from "../harness/run-command.js";
import { createDatabase } from "../harness/test-database.js";

const URL_WITH_TOKEN = /^http:\/\/127\.0\.0\.1:6082\/console#token=[\w-]{43}\n$/;
// Debian's, which has grpc_tools; another Python may come first in the PATH.
const PYTHON = "/usr/bin/python3";

const LIST_METHODS = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods"];

const NODE_CLIENT = `
import { credentials } from "@grpc/grpc-js";
import { ConsoleServiceClient } from "spicegate/client";
const [, , address, instanceUuid] = process.argv;
const client = new ConsoleServiceClient(address, credentials.createInsecure());
client.getSpiceConsole({ instanceUuid, consoleType: "" }, (error, response) => {
  if (error) throw error;
  console.log(response.url);
  client.close();
});
`;

const PYTHON_CLIENT = `
import sys
import grpc
from spicegate.console.v1 import console_pb2, console_pb2_grpc
address, uuid = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    stub = console_pb2_grpc.ConsoleServiceStub(channel)
    print(stub.GetSpiceConsole(console_pb2.GetSpiceConsoleRequest(instance_uuid=uuid), timeout=10).url)
`;

describe("the npm package", function () {
  this.timeout(90_000);
  const uuid = randomUUID();
  let packed: PackedPackage;
  let home: string;
  let api: string;
  let controller: ChildProgram;
  let agent: FakeAgent;

  before(async () => {
    packed = await PackedPackage.create();
    home = createRunFolder();
    const [apiPort, agents, telemetry] = [await freePort(), await freePort(), await freePort()];
    api = `127.0.0.1:${apiPort}`;
    const env = {
      SPICEGATE_API__LISTEN: api,
      SPICEGATE_AGENTS__LISTEN: `127.0.0.1:${agents}`,
      SPICEGATE_AGENTS__TUNNEL_LISTEN: `127.0.0.1:${await freePort()}`,
      SPICEGATE_PROXY__LISTEN: `127.0.0.1:${await freePort()}`,
      SPICEGATE_TELEMETRY__LISTEN: `127.0.0.1:${telemetry}`,
      SPICEGATE_DATABASE__URL: await createDatabase("empty"),
      SPICEGATE_IDENTITY__TRUST_LOOPBACK: "true",
    };
    const main = packed.path("dist/src/main.js");
    await outputOf(process.execPath, [main, "migrate"], { env });
    controller = new ChildProgram({
      name: "packed controller",
      command: process.execPath,
      args: [main, "serve"],
      home,
      logFile: join(home, "controller.log"),
      env,
      ready: () => isReady(`127.0.0.1:${telemetry}`),
    });
    await controller.start();
    const answer = (): typeof FAKE_ENDPOINT => FAKE_ENDPOINT;
    agent = await FakeAgent.connect(`127.0.0.1:${agents}`, { host: "host-1", domains: [fakeDomain(uuid)], answer });
    await knows(api, uuid);
  });
  after(async () => {
    agent.close();
    await controller.stop();
    await removeRunFolder(home);
    await packed.remove();
  });

  it("holds the compiled programs, the protocols, what an operator and a reader expect, and nothing of tests, demo or sources", () => {
    const files = [
      "LICENSE",
      "README.md",
      "CHANGELOG.md",
      "package.json",
      "proto/spicegate/console/v1/console.proto",
      "proto/spicegate/inventory/v1/inventory.proto",
      "proto/spicegate/agent/v1/agent.proto",
      "proto/google/rpc/error_details.proto",
      "proto/gen/spicegate.binpb",
      "dist/src/client.js",
      "dist/src/client.d.ts",
      "dist/migrations/0001_instances_and_tokens.js",
      "packaging/controller.sample.yaml",
      "packaging/agent.sample.yaml",
      "packaging/policy.sample.yaml",
      "packaging/systemd/spicegate-controller@.service",
      "packaging/prometheus/spicegate.rules.yaml",
      "packaging/grafana/spicegate.json",
    ];
    expect(packed.files).to.include.members(files);
    const foreign = /^(dist\/)?(test|demo|docs|node_modules|\.)|(?<!\.d)\.ts$|\.tsbuildinfo$/;
    expect(packed.files.filter((file) => foreign.test(file))).to.deep.equal([]);
  });

  for (const [name, main] of [
    ["controller", "dist/src/main.js"],
    ["agent", "dist/agent/main.js"],
  ] as const) {
    it(`runs its ${name}: it knows its version and its settings`, async () => {
      const run = (...args: string[]): Promise<string> => outputOf(process.execPath, [packed.path(main), ...args]);
      expect(await run("--version")).to.equal(`${packed.version}\n`);
      expect(await run("check-config")).to.include('telemetry.listen: "127.0.0.1:');
    });
  }

  it("has the controller's descriptors: it can be asked by reflection", async () => {
    const methods = await outputOf(join(PROJECT_FOLDER, "node_modules/.bin/buf"), [...LIST_METHODS, `http://${api}`]);
    expect(methods).to.include("spicegate.console.v1.ConsoleService/GetSpiceConsole");
  });

  it("gives a program a client", async () => {
    const program = join(packed.user, "client.mjs");
    writeFileSync(program, NODE_CLIENT);
    expect(await outputOf(process.execPath, [program, api, uuid])).to.match(URL_WITH_TOKEN);
  });

  it("gives Python its protocols", async () => {
    const stubs = join(packed.user, "stubs");
    mkdirSync(stubs);
    const protos = packed.path("proto");
    const generate = ["-m", "grpc_tools.protoc", `-I${protos}`, `--python_out=${stubs}`, `--grpc_python_out=${stubs}`];
    await outputOf(PYTHON, [...generate, join(protos, "spicegate/console/v1/console.proto")]);
    const url = await outputOf(PYTHON, ["-c", PYTHON_CLIENT, api, uuid], { env: { PYTHONPATH: stubs } });
    expect(url).to.match(URL_WITH_TOKEN);
  });
});

/** Waits until a controller knows the instance. */
async function knows(api: string, instanceUuid: string): Promise<void> {
  const client = new InventoryServiceClient(api, credentials.createInsecure());
  const get = client.getInstance.bind(client);
  const known = async (): Promise<boolean> => (await callUnary(get, { instanceUuid })).ok;
  await waitUntil(known, { ms: 10_000, what: `the controller to know ${instanceUuid}` }).finally(() => client.close());
}
