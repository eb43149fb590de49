// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import type {
  InventoryServiceServer,
  WatchInstancesRequest,
  WatchInstancesResponse,
} from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import { InventoryServiceService } from "../../proto/gen/spicegate/inventory/v1/inventory.js";
import type { ManageInventory } from "../console/manage-inventory.js";
import { parseUuid } from "../lib/validate.js";
import { withMalformedMessages } from "../rpc/malformed-message.js";
import type { RequestContext } from "../rpc/request-context.js";
import type { StreamHandlers } from "../rpc/stream-handler.js";
import type { UnaryHandlers } from "../rpc/unary-handler.js";
import {
  changesFrom,
  filtersFrom,
  messageFromFault,
  messageFromHost,
  messageFromInstance,
  messageFromInstanceStep,
  registrationFrom,
} from "./inventory-messages.js";
import { pageFrom } from "./page-messages.js";

/** What the service needs. */
export interface InventoryServiceOptions {
  readonly handlers: UnaryHandlers;
  readonly streams: StreamHandlers;
  readonly inventory: ManageInventory;
}

/** Adds spicegate.inventory.v1.InventoryService to a server: decode, call one use case, encode. */
export function addInventoryService(server: Server, { handlers, streams, inventory }: InventoryServiceOptions): void {
  const implementation: InventoryServiceServer = {
    listInstances: handlers.handle(InventoryServiceService.listInstances, async (request, context) => {
      const page = await inventory.listInstances(filtersFrom(request), pageFrom(request), context);
      return { instances: page.items.map(messageFromInstance), nextPageToken: page.nextPageToken };
    }),
    getInstance: handlers.handle(InventoryServiceService.getInstance, async ({ instanceUuid }, context) => {
      const { instance, faults } = await inventory.getInstance(parseUuid(instanceUuid, "instance_uuid"), context);
      return { instance: messageFromInstance(instance), faults: faults.map(messageFromFault) };
    }),
    watchInstances: streams.handle(InventoryServiceService.watchInstances, (request, context) =>
      watch(inventory, request, context),
    ),
    registerInstance: handlers.handle(InventoryServiceService.registerInstance, async ({ instance }) => ({
      instance: messageFromInstance(await inventory.registerInstance(registrationFrom(instance))),
    })),
    updateInstance: handlers.handle(InventoryServiceService.updateInstance, async (request) => {
      const { uuid, changes } = changesFrom(request);
      return { instance: messageFromInstance(await inventory.updateInstance(uuid, changes)) };
    }),
    deleteInstance: handlers.handle(InventoryServiceService.deleteInstance, async ({ instanceUuid }, context) => ({
      revokedTokens: await inventory.deleteInstance(parseUuid(instanceUuid, "instance_uuid"), context),
    })),
    listHosts: handlers.handle(InventoryServiceService.listHosts, async (request) => {
      const page = await inventory.listHosts(pageFrom(request));
      return { hosts: page.items.map(messageFromHost), nextPageToken: page.nextPageToken };
    }),
  };
  server.addService(withMalformedMessages(InventoryServiceService), implementation);
}

async function* watch(
  inventory: ManageInventory,
  request: WatchInstancesRequest,
  context: RequestContext,
): AsyncGenerator<WatchInstancesResponse, void> {
  let revision = 0n;
  for await (const step of inventory.watchInstances(filtersFrom(request), context)) {
    revision += 1n;
    yield messageFromInstanceStep(step, revision);
  }
}
