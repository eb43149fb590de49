// SPDX-License-Identifier: Apache-2.0
// A gRPC server, a process, that answers at once: what any unary call costs at least.
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type {
  GetSpiceConsoleRequest,
  GetSpiceConsoleResponse,
} from "../../../proto/gen/spicegate/console/v1/console.js";
import { ConsoleServiceService } from "../../../proto/gen/spicegate/console/v1/console.js";
import { announceReady, childOptions } from "../bench-process.js";

/** What it is started with. */
export interface EchoOptions {
  readonly port: number;
}

const { port } = childOptions() as EchoOptions;

function getSpiceConsole(
  call: ServerUnaryCall<GetSpiceConsoleRequest, GetSpiceConsoleResponse>,
  callback: sendUnaryData<GetSpiceConsoleResponse>,
): void {
  const url = call.request.instanceUuid;
  callback(null, { url, consoleType: "spice-html5", expiresAt: new Date(), viewOnly: false });
}

const server = new Server();
server.addService({ getSpiceConsole: ConsoleServiceService.getSpiceConsole }, { getSpiceConsole });
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), announceReady);
