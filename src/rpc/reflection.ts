// SPDX-License-Identifier: Apache-2.0
import type { Server } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { readFileSync } from "node:fs";

// Beside the sources and in the installed package alike: three folders up from dist/src/rpc.
const DESCRIPTORS = new URL("../../../proto/gen/spicegate.binpb", import.meta.url);

/** Adds gRPC server reflection (v1 and v1alpha) for the named services, so that grpcurl needs no proto files. */
export function addReflection(server: Server, services: string[]): void {
  const definition = loadFileDescriptorSetFromBuffer(readFileSync(DESCRIPTORS));
  new ReflectionService(definition, { services }).addToServer(server);
}
