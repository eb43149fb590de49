// SPDX-License-Identifier: Apache-2.0
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { Server } from "@grpc/grpc-js";
import type { PackageDefinition } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { readFileSync } from "node:fs";

// Beside the sources and in the installed package alike: three folders up from dist/src/rpc.
const DESCRIPTORS = new URL("../../../proto/gen/spicegate.binpb", import.meta.url);

/** Adds gRPC server reflection (v1 and v1alpha) for the named services, so that grpcurl needs no proto files. */
export function addReflection(server: Server, services: string[]): void {
  new ReflectionService(filesAsDefinition(readFileSync(DESCRIPTORS)), { services }).addToServer(server);
}

/**
 * The files of a FileDescriptorSet, byte for byte. Read by proto-loader they would come out merged by package and
 * without their imports, and clients that check what they are told, such as grpcurl and buf, could not use them.
 */
function filesAsDefinition(set: Buffer): PackageDefinition {
  const reader = new BinaryReader(set);
  const fileDescriptorProtos: Buffer[] = [];
  while (reader.pos < reader.len) {
    // `repeated FileDescriptorProto file = 1` is all that a set has.
    reader.tag();
    fileDescriptorProtos.push(Buffer.from(reader.bytes()));
  }
  // Reflection looks at the files of a definition only; of all kinds of entries this one has the least besides them.
  return { files: { format: "Protocol Buffer 3 EnumDescriptorProto", type: {}, fileDescriptorProtos } };
}
