// SPDX-License-Identifier: Apache-2.0
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import type { GetCallerResponse, IdentityServiceServer } from "../../../proto/gen/spicegate/identity/v1/identity.js";
import { IdentityServiceService } from "../../../proto/gen/spicegate/identity/v1/identity.js";
import type { ApiOptions } from "../../../src/cli/identity-client.js";
import { IdentityClient } from "../../../src/cli/identity-client.js";
import { CommandError, EXIT } from "../../../src/cli/reporting.js";
import { ServiceError } from "../../../src/lib/service-error.js";
import { statusFromError } from "../../../src/rpc/status-from-error.js";
import { TestAuthority } from "../../harness/certificates.js";
import { rejectionOf } from "../../harness/rejection.js";
import { within } from "../../harness/within.js";

const CALLER: GetCallerResponse = { subject: "alice", projectId: "p", roles: ["member"], expiresAt: undefined };

describe("IdentityClient", () => {
  let authority: TestAuthority;
  let clear: string;
  let secured: string;
  /** What each call has shown. */
  let shown: unknown[];
  let answer: () => GetCallerResponse;
  const servers: Server[] = [];

  before(async () => {
    authority = new TestAuthority();
    const { cert, key } = authority.issue();
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
    clear = await serve(ServerCredentials.createInsecure());
    secured = await serve(ServerCredentials.createSsl(null, [pair]));
  });

  after(() => {
    for (const server of servers) server.forceShutdown();
    authority.remove();
  });

  beforeEach(() => {
    shown = [];
    answer = () => CALLER;
  });

  function serve(credentials: ServerCredentials): Promise<string> {
    const server = new Server();
    servers.push(server);
    const getCaller: IdentityServiceServer["getCaller"] = ({ metadata }, done) => {
      shown.push(metadata.get("authorization")[0]);
      try {
        done(null, answer());
      } catch (error) {
        done(statusFromError(error as ServiceError));
      }
    };
    server.addService(IdentityServiceService, { getCaller });
    return new Promise((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
        if (error) reject(error);
        else resolve(`127.0.0.1:${port}`);
      });
    });
  }

  async function ask(options: ApiOptions, env: Readonly<Record<string, string>> = {}): Promise<GetCallerResponse> {
    const client = new IdentityClient(options, env);
    try {
      return await client.ask((service) => service.getCaller.bind(service), {});
    } finally {
      client.close();
    }
  }

  async function failureOf(options: ApiOptions, env?: Readonly<Record<string, string>>): Promise<CommandError> {
    const error = await rejectionOf(ask(options, env));
    if (error instanceof CommandError) return error;
    throw error;
  }

  it("shows the token of the file, or of the environment, or none", async () => {
    const tokenFile = join(authority.folder, "token");
    writeFileSync(tokenFile, "from-file\n");
    expect(await ask({ api: clear, tokenFile }, { SPICEGATE_TOKEN: "from-env" })).to.deep.equal(CALLER);
    await ask({ api: clear }, { SPICEGATE_TOKEN: "from-env" });
    await ask({ api: clear });
    expect(shown).to.deep.equal(["Bearer from-file", "Bearer from-env", undefined]);
  });

  it("refuses what holds no token, before it asks, and does not repeat what it holds", async () => {
    const tokenFile = join(authority.folder, "no-token");
    writeFileSync(tokenFile, "secret words\n");
    const failure = await failureOf({ api: clear, tokenFile });
    expect(failure.message).to.contain("holds no token").and.not.to.contain("secret");
    expect((await failureOf({ api: clear, tokenFile: "/nowhere/token" })).message).to.contain("--token-file");
    expect((await failureOf({ api: clear }, { SPICEGATE_TOKEN: "" })).message).to.contain("SPICEGATE_TOKEN");
    expect(shown).to.deep.equal([]);
  });

  it("speaks TLS with a controller of the given authority, by its address or its name", async () => {
    const cacert = authority.certFile;
    expect(await ask({ api: secured, cacert })).to.deep.equal(CALLER);
    expect(await ask({ api: secured.replace("127.0.0.1", "localhost"), cacert })).to.deep.equal(CALLER);
  });

  it("shows its token to no controller whose certificate names another address or name", async () => {
    for (const [host, names] of [
      ["127.0.0.1", "IP:127.0.0.2,DNS:controller.invalid"],
      ["localhost", "DNS:other.example"],
    ] as const) {
      const { cert, key } = authority.issue({ names });
      const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
      const api = (await serve(ServerCredentials.createSsl(null, [pair]))).replace("127.0.0.1", host);
      const failure = await failureOf({ api, cacert: authority.certFile }, { SPICEGATE_TOKEN: "t" });
      expect(failure.exitCode).to.equal(EXIT.NO_ANSWER);
    }
    expect(shown).to.deep.equal([]);
  });

  it("shows its token to no controller of another authority", async () => {
    const other = new TestAuthority("/CN=Another");
    try {
      const failure = await failureOf({ api: secured, cacert: other.certFile }, { SPICEGATE_TOKEN: "t" });
      expect(failure.exitCode).to.equal(EXIT.NO_ANSWER);
      expect(failure.message).to.contain("--cacert").and.contain(secured);
    } finally {
      other.remove();
    }
    expect(shown).to.deep.equal([]);
  });

  it("refuses a file that holds no authority", async () => {
    for (const cacert of ["/nowhere/ca.pem", join(authority.folder, "token")]) {
      expect((await failureOf({ api: secured, cacert })).message).to.contain("--cacert");
    }
  });

  it("speaks TLS with every name that is not this machine's, whatever it resolves to", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const first = new Promise<number | undefined>((resolve) => {
      server.on("connection", (socket) => {
        socket.on("error", () => undefined);
        socket.once("data", (bytes: Buffer) => {
          resolve(bytes[0]);
          socket.destroy();
        });
      });
    });
    const failure = failureOf({ api: `LOCALHOST:${port}` }, { SPICEGATE_TOKEN: "t" });
    const TLS_HANDSHAKE = 22;
    expect(await within("a connection", first)).to.equal(TLS_HANDSHAKE);
    expect((await failure).exitCode).to.equal(EXIT.NO_ANSWER);
    server.close();
  });

  it("says the reason of a refusal and what to do about it", async () => {
    for (const [reason, advice] of [
      ["UNAUTHENTICATED", "SPICEGATE_TOKEN"],
      ["PERMISSION_DENIED", "administrator"],
      ["INVALID_ARGUMENT", "words"],
    ] as const) {
      answer = () => {
        throw new ServiceError(reason, "some words");
      };
      const { message, exitCode } = await failureOf({ api: clear });
      expect(message)
        .to.match(new RegExp(`^${reason}: some words`))
        .and.contain(advice);
      expect(exitCode).to.equal(EXIT.REFUSED);
    }
  });

  it("says where it has looked for a controller that does not answer", async () => {
    const { message, exitCode } = await failureOf({ api: "127.0.0.1:1" });
    expect(message).to.contain("127.0.0.1:1").and.contain("--api");
    expect(exitCode).to.equal(EXIT.NO_ANSWER);
    expect((await failureOf({ api: "nonsense" })).message).to.contain("host:port");
  });
});
