// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { howTo } from "../../../demo/how-to.js";

const GRPC = "127.0.0.1:50051";
const BUF = "npx buf curl --protocol grpc --http2-prior-knowledge";
const REST = "http://127.0.0.1:8774/v2.1";
const UUID = "3c1f1e0a-7b7f-4d4e-9d58-0a4c3e0d9a11";
const URL = "http://127.0.0.1:6082/console#token=t";

describe("howTo", () => {
  const state = { grpc: GRPC, rest: REST, ca: null, token: "demo", host: "h", url: URL };
  const lines = howTo({ ...state, instances: [{ uuid: UUID, name: "demo-tcp", url: URL }] }).split("\n");
  const trimmed = lines.map((line) => line.trim());

  it("begins with the URLs to open", () => {
    expect(trimmed.findIndex((line) => line === `demo-tcp  ${URL}`)).to.equal(2);
  });

  it("has lines that ask for a fresh URL", () => {
    const method = "spicegate.console.v1.ConsoleService/GetSpiceConsole";
    expect(trimmed).to.include.members([
      `grpcurl -plaintext -d '{"instance_uuid":"${UUID}"}' ${GRPC} ${method}`,
      `${BUF} -d '{"instance_uuid":"${UUID}"}' http://${GRPC}/${method}`,
    ]);
  });

  it("has a line for the client of OpenStack, which needs to be installed", () => {
    const endpoint = `--os-auth-type admin_token --os-token demo --os-endpoint ${REST}`;
    expect(trimmed).to.include(`openstack ${endpoint} console url show --spice demo-tcp`);
    expect(lines.join("\n")).to.contain("where python3-openstackclient is installed");
  });

  it("has lines that list sessions and end one", () => {
    const service = "spicegate.session.v1.SessionService";
    expect(trimmed).to.include.members([
      `grpcurl -plaintext ${GRPC} ${service}/ListSessions`,
      `${BUF} http://${GRPC}/${service}/ListSessions`,
      "read -r ID",
      `grpcurl -plaintext -d "{\\"session_id\\":\\"$ID\\"}" ${GRPC} ${service}/TerminateSession`,
      `${BUF} -d "{\\"session_id\\":\\"$ID\\"}" http://${GRPC}/${service}/TerminateSession`,
    ]);
  });
});
