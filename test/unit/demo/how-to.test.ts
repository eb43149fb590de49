// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { howTo } from "../../../demo/how-to.js";

describe("howTo", () => {
  it("shows each machine's URL and the two lines that ask for a fresh one", () => {
    const uuid = "3c1f1e0a-7b7f-4d4e-9d58-0a4c3e0d9a11";
    const url = "http://127.0.0.1:6082/console#token=t";
    const lines = howTo({
      grpc: "127.0.0.1:50051",
      ca: null,
      token: "demo",
      host: "h",
      instances: [{ uuid, name: "demo-tcp", url }],
      url,
    }).split("\n");
    const method = "spicegate.console.v1.ConsoleService/GetSpiceConsole";
    expect(lines).to.include("demo-tcp");
    expect(lines.map((line) => line.trim())).to.include.members([
      url,
      `grpcurl -plaintext -d '{"instance_uuid":"${uuid}"}' 127.0.0.1:50051 ${method}`,
      `npx buf curl --protocol grpc --http2-prior-knowledge -d '{"instance_uuid":"${uuid}"}' http://127.0.0.1:50051/${method}`,
    ]);
  });
});
