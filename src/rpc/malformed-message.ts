// SPDX-License-Identifier: Apache-2.0
import type { ServiceDefinition } from "@grpc/grpc-js";
import { ServiceError } from "../lib/service-error.js";

/**
 * Takes the place of a message whose bytes cannot be read. A decoder that throws makes grpc-js answer INTERNAL, as if
 * it were our fault; with this the handler gets to say INVALID_ARGUMENT.
 */
export class MalformedMessage {
  readonly error: ServiceError;

  constructor(cause: unknown) {
    this.error = new ServiceError("INVALID_ARGUMENT", "the message cannot be decoded", { cause });
  }
}

/** The same decoder, returning a MalformedMessage instead of throwing. */
export function decodeOrMalformed<T>(decode: (bytes: Buffer) => T): (bytes: Buffer) => T | MalformedMessage {
  return (bytes) => {
    try {
      return decode(bytes);
    } catch (error) {
      return new MalformedMessage(error);
    }
  };
}

/** The same service, whose handlers get a MalformedMessage as their request where the bytes cannot be read. */
export function withMalformedMessages<Service extends ServiceDefinition>(service: Service): Service {
  const methods = Object.entries(service).map(([name, method]) => {
    return [name, { ...method, requestDeserialize: decodeOrMalformed(method.requestDeserialize) }];
  });
  return Object.fromEntries(methods) as Service;
}
