// SPDX-License-Identifier: Apache-2.0
import { expect } from "chai";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect, constants } from "node:http2";
import { once } from "node:events";
import type { handleUnaryCall } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { ConsoleServiceService } from "../../../proto/gen/spicegate/console/v1/console.js";
import { MAX_SILENT_CALLS, SILENT_CALL_MS } from "../../../src/lib/limits.js";
import { SilentCalls } from "../../../src/rpc/silent-calls.js";
import { FakeClock } from "../../fakes/fake-clock.js";
import { within } from "../../harness/within.js";
import { waitUntil } from "../../../demo/wait-until.js";

const PATIENCE_MS = 10_000;
const OK = "0";
const INVALID_ARGUMENT = "3";
const RESOURCE_EXHAUSTED = "8";
const EMPTY_MESSAGE = Buffer.alloc(5);

describe("SilentCalls", () => {
  let clock: FakeClock;
  let server: Server;
  let client: ClientHttp2Session;
  let answer: (() => void) | undefined;

  beforeEach(async () => {
    clock = new FakeClock();
    server = new Server({ interceptors: [new SilentCalls(clock).interceptor], "grpc.enable_channelz": 0 });
    const lookupConsoleToken: handleUnaryCall<unknown, unknown> = (_call, callback) => {
      answer = () => callback(null, { instanceUuid: "", host: "", port: 0, tlsPort: 0, internalAccessPath: "" });
    };
    server.addService(ConsoleServiceService, {
      lookupConsoleToken,
      getSpiceConsole: unused,
      revokeConsoleTokens: unused,
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    client = connect(`http://127.0.0.1:${port}`);
    client.on("error", () => undefined);
    await once(client, "connect");
  });
  afterEach(() => {
    client.destroy();
    server.forceShutdown();
  });

  /** A call that has said nothing yet. */
  function begin(): ClientHttp2Stream {
    const call = client.request({
      ":method": "POST",
      ":path": ConsoleServiceService.lookupConsoleToken.path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    call.on("error", () => undefined);
    call.resume();
    return call;
  }
  /** Its grpc-status. */
  function statusOf(call: ClientHttp2Stream): Promise<string> {
    const status = new Promise<string>((resolve) => {
      for (const event of ["response", "trailers"]) {
        call.on(event, (headers: Record<string, string>) => {
          if (headers["grpc-status"] !== undefined) resolve(headers["grpc-status"]);
        });
      }
    });
    return within("the end of a call", status, PATIENCE_MS);
  }
  const silent = (count: number): Promise<void> =>
    waitUntil(() => clock.waiting === count, { ms: PATIENCE_MS, what: `${count} silent calls` });

  it("end when their message does not come in time", async () => {
    const status = statusOf(begin());
    await silent(1);
    clock.advance(SILENT_CALL_MS);
    expect(await status).to.equal(INVALID_ARGUMENT);
  });

  it("may take their time once the message has come", async () => {
    const call = begin();
    const status = statusOf(call);
    await silent(1);
    call.end(EMPTY_MESSAGE);
    await waitUntil(() => answer !== undefined, { ms: PATIENCE_MS, what: "the handler" });
    expect(clock.waiting).to.equal(0);
    clock.advance(SILENT_CALL_MS);
    answer?.();
    expect(await status).to.equal(OK);
  });

  it("are so many at most, and make room when their callers leave", async () => {
    const calls = Array.from({ length: MAX_SILENT_CALLS }, begin);
    await silent(MAX_SILENT_CALLS);
    expect(await statusOf(begin())).to.equal(RESOURCE_EXHAUSTED);
    calls[0]?.close(constants.NGHTTP2_CANCEL);
    await silent(MAX_SILENT_CALLS - 1);
    begin();
    await silent(MAX_SILENT_CALLS);
  });
});

function unused(): void {
  throw new Error("unused");
}
