// SPDX-License-Identifier: Apache-2.0
import type { FastifyRequest } from "fastify";
import { ServiceError } from "../lib/service-error.js";
import { isUuid } from "../lib/validate.js";

/** The server that an address names. INSTANCE_NOT_FOUND for what is no uuid: clients try names here first. */
export function serverIn(request: FastifyRequest): string {
  const uuid = (request.params as { readonly server: string }).server.toLowerCase();
  if (!isUuid(uuid)) throw new ServiceError("INSTANCE_NOT_FOUND", "there is no instance with this id");
  return uuid;
}
