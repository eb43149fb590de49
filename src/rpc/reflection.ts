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
  new ReflectionService(definition(), { services }).addToServer(server);
}

/**
 * The files as buf describes them. proto-loader would put them together anew, by package and without their imports, and
 * clients such as buf could not use the result; the reflection service reads nothing but the files' bytes.
 */
function definition(): PackageDefinition {
  const fileDescriptorProtos = fileDescriptors(readFileSync(DESCRIPTORS));
  return { spicegate: { format: "Protocol Buffer 3 EnumDescriptorProto", type: {}, fileDescriptorProtos } };
}

/** The encoded files of a google.protobuf.FileDescriptorSet, whose only field is `repeated FileDescriptorProto file`. */
function fileDescriptors(set: Uint8Array): Buffer[] {
  const reader = new BinaryReader(set);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    reader.tag();
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}
