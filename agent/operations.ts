// SPDX-License-Identifier: Apache-2.0
import type { AgentRequest, Reply } from "../proto/gen/spicegate/agent/v1/agent.js";
import { parseUuid } from "../src/lib/validate.js";
import type { SpiceSource } from "./get-spice-endpoint.js";
import { getSpiceEndpoint } from "./get-spice-endpoint.js";
import type { AskOptions } from "./hypervisor.js";
import { UnknownOperation } from "./messages.js";
import { validateConsolePort } from "./validate-console-port.js";

/** What a controller asks for. */
export type Operation = AgentRequest["operation"];
/** What a controller gets for it when all is well. */
export type Result = Exclude<NonNullable<Reply["result"]>, { $case: "failure" }>;
/** Does what is asked, or throws a ServiceError or UnknownOperation. */
export type Perform = (operation: Operation, options: AskOptions) => Promise<Result>;

/** Makes the function that decodes an operation, has it done and encodes its result. */
export function createOperations(source: SpiceSource): Perform {
  return async (operation, options) => {
    switch (operation?.$case) {
      case "getSpiceEndpoint": {
        const uuid = parseUuid(operation.getSpiceEndpoint.instanceUuid, "instance_uuid");
        return { $case: "spiceEndpoint", spiceEndpoint: await getSpiceEndpoint(source, uuid, options) };
      }
      case "validateConsolePort": {
        const uuid = parseUuid(operation.validateConsolePort.instanceUuid, "instance_uuid");
        await validateConsolePort(source, uuid, operation.validateConsolePort, options);
        return { $case: "consolePortValid", consolePortValid: {} };
      }
      case "openDisplay":
      case undefined:
        throw new UnknownOperation();
    }
  };
}
