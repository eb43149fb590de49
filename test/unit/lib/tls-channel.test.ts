// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import { Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { IdentityServiceClient, IdentityServiceService } from "../../../proto/gen/spicegate/identity/v1/identity.js";
import { tlsChannel } from "../../../src/lib/tls-channel.js";
import { TestAuthority } from "../../harness/certificates.js";
import { within } from "../../harness/within.js";

describe("tlsChannel", () => {
  const authority = new TestAuthority();
  const servers: Server[] = [];

  after(() => {
    for (const server of servers) server.forceShutdown();
    authority.remove();
  });

  /** The port of a server that knows no method, whose certificate has these names. */
  async function serve(names: string): Promise<number> {
    const { cert, key } = authority.issue({ names });
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
    const server = new Server();
    servers.push(server);
    return new Promise((resolve, reject) => {
      server.bindAsync("localhost:0", ServerCredentials.createSsl(null, [pair]), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
  }

  /** How a call ends: UNIMPLEMENTED where the server was reached. */
  async function reach(host: string, port: number, ca: string): Promise<status | undefined> {
    const channel = tlsChannel(host, ca);
    const client = new IdentityServiceClient(`${host}:${port}`, channel.credentials, channel.options);
    try {
      const called = new Promise<status | undefined>((resolve) => {
        client.getCaller({}, new Metadata(), { deadline: Date.now() + 5_000 }, (error) => resolve(error?.code));
      });
      return await within(`a call of ${IdentityServiceService.getCaller.path}`, called);
    } finally {
      client.close();
    }
  }

  it("reaches a server by the name or the address that its certificate has, without a warning of Node's", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): number => warnings.push(warning);
    process.on("warning", note);
    const port = await serve("IP:127.0.0.1,DNS:localhost");
    expect(await reach("127.0.0.1", port, authority.cert)).to.equal(status.UNIMPLEMENTED);
    expect(await reach("localhost", port, authority.cert)).to.equal(status.UNIMPLEMENTED);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", note);
    expect(warnings).to.deep.equal([]);
  });

  it("reaches no server whose certificate has another name or address", async () => {
    const port = await serve("IP:127.0.0.2,DNS:controller.invalid");
    expect(await reach("127.0.0.1", port, authority.cert)).to.equal(status.UNAVAILABLE);
    expect(await reach("localhost", port, authority.cert)).to.equal(status.UNAVAILABLE);
  });

  it("reaches no server of another authority", async () => {
    const other = new TestAuthority("/CN=Another");
    try {
      const port = await serve("IP:127.0.0.1");
      expect(await reach("127.0.0.1", port, other.cert)).to.equal(status.UNAVAILABLE);
    } finally {
      other.remove();
    }
  });
});
