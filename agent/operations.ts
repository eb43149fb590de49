// SPDX-License-Identifier: Apache-2.0
import type { AgentRequest, Reply } from "../proto/gen/spicegate/agent/v1/agent.js";
import { withDeadline } from "../src/lib/deadline.js";
import { ServiceError } from "../src/lib/service-error.js";
import { parseUuid } from "../src/lib/validate.js";
import type { DisplayTunnels } from "./display-tunnels.js";
import type { SpiceSource } from "./get-spice-endpoint.js";
import { getSpiceEndpoint } from "./get-spice-endpoint.js";
import type { AskOptions } from "./hypervisor.js";
import { UnknownOperation } from "./messages.js";
import { openDisplay } from "./open-display.js";
import { validateConsolePort } from "./validate-console-port.js";

/** What a controller asks for. */
export type Operation = AgentRequest["operation"];
/** What a controller gets for it when all is well. */
export type Result = Exclude<NonNullable<Reply["result"]>, { $case: "failure" }>;
/** Does what is asked, or throws a ServiceError or UnknownOperation. */
export type Perform = (operation: Operation, options: AskOptions) => Promise<Result>;

/** What operations work with. */
export interface OperationsOptions extends SpiceSource {
  readonly tunnels: DisplayTunnels;
}

/** Makes the function that decodes an operation, has it done and encodes its result. */
export function createOperations(source: OperationsOptions): Perform {
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
      case "openDisplay": {
        const uuid = parseUuid(operation.openDisplay.instanceUuid, "instance_uuid");
        const target = source.tunnels.target(operation.openDisplay);
        const expired = (): ServiceError => new ServiceError("HYPERVISOR_UNAVAILABLE", "the display opens too slowly");
        await withDeadline({ ...options, expired }, async (signal) => {
          const rest = { ms: options.ms, signal };
          await source.tunnels.carry(await openDisplay(source, uuid, rest), target, rest);
        });
        return { $case: "displayOpened", displayOpened: {} };
      }
      case undefined:
        throw new UnknownOperation();
    }
  };
}
