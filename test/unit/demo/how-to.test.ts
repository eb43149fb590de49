// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { bufLine, howTo } from "../../../demo/how-to.js";

const GRPC = "127.0.0.1:50051";
const GRPCURL = "grpcurl -cacert /d/ca.pem -H 'authorization: Bearer sgu_t'";
const BUF = "npx buf curl --protocol grpc --cacert /d/ca.pem -H 'authorization: Bearer sgu_t'";
const REST = "http://127.0.0.1:8774/v2.1";
const UUID = "3c1f1e0a-7b7f-4d4e-9d58-0a4c3e0d9a11";
const URL = "http://127.0.0.1:6082/console#token=t";

describe("howTo", () => {
  const state = { grpc: GRPC, rest: REST, ca: "/d/ca.pem", token: "sgu_t", host: "h", url: URL };
  const lines = howTo({ ...state, instances: [{ uuid: UUID, name: "demo-tcp", url: URL }] }).split("\n");
  const trimmed = lines.map((line) => line.trim());

  it("begins with the URLs to open", () => {
    expect(trimmed.findIndex((line) => line === `demo-tcp  ${URL}`)).to.equal(2);
  });

  it("has lines that ask for a fresh URL", () => {
    const method = "spicegate.console.v1.ConsoleService/GetSpiceConsole";
    expect(trimmed).to.include.members([
      `${GRPCURL} -d '{"instance_uuid":"${UUID}"}' ${GRPC} ${method}`,
      `${BUF} -d '{"instance_uuid":"${UUID}"}' https://${GRPC}/${method}`,
    ]);
  });

  it("has a line for the client of OpenStack, which needs to be installed", () => {
    const endpoint = `--os-auth-type admin_token --os-token sgu_t --os-endpoint ${REST}`;
    expect(trimmed).to.include(`openstack ${endpoint} console url show --spice demo-tcp`);
    expect(lines.join("\n")).to.contain("where python3-openstackclient is installed");
  });

  it("has lines that list sessions and end one", () => {
    const service = "spicegate.session.v1.SessionService";
    expect(trimmed).to.include.members([
      `${GRPCURL} ${GRPC} ${service}/ListSessions`,
      `${BUF} https://${GRPC}/${service}/ListSessions`,
      "read -r ID",
      `${GRPCURL} -d "{\\"session_id\\":\\"$ID\\"}" ${GRPC} ${service}/TerminateSession`,
      `${BUF} -d "{\\"session_id\\":\\"$ID\\"}" https://${GRPC}/${service}/TerminateSession`,
    ]);
  });

  it("asks in the clear, and as nobody, where there is neither authority nor token", () => {
    expect(bufLine({ grpc: GRPC, ca: null, token: "" }, "s/M")).to.equal(
      `npx buf curl --protocol grpc --http2-prior-knowledge http://${GRPC}/s/M`,
    );
  });
});
