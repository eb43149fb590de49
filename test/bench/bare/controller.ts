// SPDX-License-Identifier: Apache-2.0
// The bare path's controller, a process: a call comes in, a question goes to the agent over its stream, the answer is
// stored, the reply goes out. What a competent engineer would write first, with nothing around it: no checks, limits,
// deadlines, log, metrics or audit.
import type { sendUnaryData, ServerDuplexStream, ServerUnaryCall } from "@grpc/grpc-js";
import { Metadata, Server, ServerCredentials } from "@grpc/grpc-js";
import type { ConnectRequest, ConnectResponse } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import { AgentServiceService } from "../../../proto/gen/spicegate/agent/v1/agent.js";
import type {
  GetSpiceConsoleRequest,
  GetSpiceConsoleResponse,
} from "../../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceService } from "../../../proto/gen/spicegate/console/v1/console.js";
import { announceReady, childOptions } from "../bench-process.js";
import { TokenTable } from "./token-table.js";

/** What it is started with. */
export interface BareControllerOptions {
  readonly databaseUrl: string;
  readonly port: number;
}

const { databaseUrl, port } = childOptions() as BareControllerOptions;
const tokens = new TokenTable(databaseUrl);
const pending = new Map<bigint, (port: number) => void>();
let lastId = 0n;
let agent: ServerDuplexStream<ConnectRequest, ConnectResponse> | undefined;

function connect(call: ServerDuplexStream<ConnectRequest, ConnectResponse>): void {
  agent = call;
  call.sendMetadata(new Metadata());
  call.on("data", ({ message }: ConnectRequest) => {
    if (message?.$case !== "reply" || message.reply.result?.$case !== "spiceEndpoint") return;
    pending.get(message.reply.id)?.(message.reply.result.spiceEndpoint.port);
    pending.delete(message.reply.id);
  });
}

function askAgent(instanceUuid: string): Promise<number> {
  return new Promise((resolve) => {
    const id = ++lastId;
    pending.set(id, resolve);
    const operation = { $case: "getSpiceEndpoint", getSpiceEndpoint: { instanceUuid } } as const;
    agent?.write({ message: { $case: "request", request: { id, timeoutMs: 5_000, requestId: "", operation } } });
  });
}

async function issue(instanceUuid: string): Promise<GetSpiceConsoleResponse> {
  const token = await tokens.insert(instanceUuid, await askAgent(instanceUuid));
  const url = `http://127.0.0.1:6082/console#token=${token}`;
  return { url, consoleType: "spice-html5", expiresAt: new Date(Date.now() + 600_000), viewOnly: false };
}

function getSpiceConsole(
  call: ServerUnaryCall<GetSpiceConsoleRequest, GetSpiceConsoleResponse>,
  callback: sendUnaryData<GetSpiceConsoleResponse>,
): void {
  issue(call.request.instanceUuid).then((response) => callback(null, response), callback);
}

const server = new Server();
server.addService({ connect: AgentServiceService.connect }, { connect });
server.addService({ getSpiceConsole: ConsoleServiceService.getSpiceConsole }, { getSpiceConsole });
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), announceReady);
