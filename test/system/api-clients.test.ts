// SPDX-License-Identifier: Apache-2.0
// The API as people and programs use it: command lines with reflection, health checks, request ids.
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { DemoMachine } from "../../demo/demo-machine.js";
import { defineAndStart } from "../../demo/demo-machine.js";
import { GET_CONSOLE, bufLine, consoleJson } from "../../demo/how-to.js";
import type { PrivateLibvirtd } from "../../demo/private-libvirtd.js";
import { PROJECT_FOLDER } from "../../demo/spicegate-programs.js";
import { Deployment } from "../harness/deployment.js";
import { callUnary } from "../harness/grpc-client.js";
import { checkHealth } from "../harness/health-client.js";
import { sharedLibvirtd } from "../harness/hypervisor.js";
import { discardMachines } from "../harness/machines.js";
import { outputOf, runCommand } from "../harness/run-command.js";
import { runStatement } from "../harness/test-database.js";

const SERVICES = [
  "grpc.health.v1.Health",
  "spicegate.agent.v1.EnrollmentService",
  "spicegate.audit.v1.AuditService",
  "spicegate.console.v1.ConsoleService",
  "spicegate.identity.v1.IdentityService",
  "spicegate.inventory.v1.InventoryService",
  "spicegate.session.v1.SessionService",
];
const BUF = join(PROJECT_FOLDER, "node_modules/.bin/buf");
const PLAINTEXT = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];

describe("a client of the API", function () {
  this.timeout(60_000);
  let libvirtd: PrivateLibvirtd;
  let deployment: Deployment;
  let machine: DemoMachine;

  before(async () => {
    libvirtd = await sharedLibvirtd();
    machine = await defineAndStart(libvirtd, { name: "asked-for", displays: ["spice-none"] });
    deployment = await Deployment.start({ libvirtUri: libvirtd.uri });
    await deployment.knows(machine.uuid);
  });
  after(async () => {
    await deployment.stop();
    await discardMachines(libvirtd, [machine]);
  });

  for (const version of ["grpc-v1", "grpc-v1alpha"]) {
    it(`lists the services by reflection (${version})`, async () => {
      const listing = ["--reflect-protocol", version, "--list-services", `http://${deployment.api}`];
      const services = (await outputOf(BUF, [...PLAINTEXT, ...listing])).trim().split("\n");
      expect(services.filter((name) => !name.startsWith("grpc.reflection."))).to.deep.equal(SERVICES);
    });
  }

  it("gets a console with the line that the demo prints", async () => {
    const line = bufLine(deployment.api, GET_CONSOLE, consoleJson(machine.uuid));
    const answer = JSON.parse(await outputOf("sh", ["-c", line], { cwd: PROJECT_FOLDER })) as Record<string, string>;
    expect(answer["url"]).to.match(/#token=[\w-]{43}$/);
    expect(answer["consoleType"]).to.equal("spice-html5");
    expect(Date.parse(answer["expiresAt"]!) - Date.now()).to.be.within(590_000, 601_000);
  });

  it("reads the reason of a refusal on the command line", async () => {
    const { code, stderr } = await runCommand(
      "sh",
      ["-c", bufLine(deployment.api, GET_CONSOLE, consoleJson(randomUUID()))],
      {
        cwd: PROJECT_FOLDER,
      },
    );
    expect(code).to.not.equal(0);
    const error = JSON.parse(stderr.slice(stderr.indexOf("{"))) as {
      readonly code: string;
      readonly details: readonly { readonly type: string; readonly value: string }[];
    };
    expect(error.code).to.equal("not_found");
    expect(error.details[0]?.type).to.equal("google.rpc.ErrorInfo");
    expect(Buffer.from(error.details[0]!.value, "base64").toString()).to.include("INSTANCE_NOT_FOUND");
  });

  it("asks for the health of a service on the command line", async () => {
    const check = ["-d", '{"service":"spicegate.console.v1.ConsoleService"}'];
    const url = `http://${deployment.api}/grpc.health.v1.Health/Check`;
    expect(JSON.parse(await outputOf(BUF, [...PLAINTEXT, ...check, url]))).to.deep.equal({ status: "SERVING" });
  });

  it("is told by grpc.health.v1 that each service serves, and that others do not exist", async () => {
    for (const name of ["", ...SERVICES.slice(1)]) {
      expect(await checkHealth(deployment.api, name), name).to.equal("SERVING");
    }
    expect(await checkHealth(deployment.api, "nonsense")).to.equal(status.NOT_FOUND);
  });

  it("finds its request id in the response, in the logs of controller and agent, and in the audit", async () => {
    const requestId = `find-me-${randomUUID()}`;
    const headers = { "x-request-id": requestId };
    expect(await headerOf(machine.uuid, headers)).to.equal(requestId);
    expect(await deployment.logged({ msg: "call served", requestId })).to.include({ method: "GetSpiceConsole" });
    const agent = deployment.agentLog().find((entry) => entry["requestId"] === requestId);
    expect(agent).to.include({ msg: "request answered", operation: "GetSpiceEndpoint" });
    const rows = await runStatement(
      deployment.databaseUrl,
      "select action, instance_uuid from audit_events where request_id = $1",
      [requestId],
    );
    expect(rows).to.deep.equal([{ action: "issued", instance_uuid: machine.uuid }]);
  });

  it("is given a request id where it sends none, also when it is refused", async () => {
    expect(await headerOf(machine.uuid)).to.match(/^[0-9a-f-]{36}$/);
    expect(await headerOf(randomUUID(), { "x-request-id": "refused-2" })).to.equal("refused-2");
  });

  /** The x-request-id of a call's response metadata. */
  async function headerOf(instanceUuid: string, headers: Record<string, string> = {}): Promise<unknown> {
    let header: unknown;
    const call = deployment.console.getSpiceConsole.bind(deployment.console);
    await callUnary(
      call,
      { instanceUuid, consoleType: "" },
      {
        headers,
        onCall: (made) => made.on("metadata", (metadata) => ([header] = metadata.get("x-request-id"))),
      },
    );
    return header;
  }
});
