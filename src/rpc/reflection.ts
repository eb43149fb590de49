// SPDX-License-Identifier: Apache-2.0
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { readFileSync } from "node:fs";

// Beside the sources and in the installed package alike: three folders up from dist/src/rpc.
const DESCRIPTORS = new URL("../../../proto/gen/spicegate.binpb", import.meta.url);

/** Adds gRPC server reflection (v1 and v1alpha) for the named services, so that grpcurl needs no proto files. */
export function addReflection(server: Server, services: string[]): void {
  new ReflectionService(packageDefinition(), { services }).addToServer(server);
}

/**
 * The files as buf wrote them. Loaded by proto-loader they would be merged by package and lose their imports, and
 * clients could not resolve them; of a definition, reflection reads only the files.
 */
function packageDefinition(): ConstructorParameters<typeof ReflectionService>[0] {
  const { file } = fromBinary(FileDescriptorSetSchema, readFileSync(DESCRIPTORS));
  const fileDescriptorProtos = file.map((one) => Buffer.from(toBinary(FileDescriptorProtoSchema, one)));
  return { files: { format: "Protocol Buffer 3 DescriptorProto", type: {}, fileDescriptorProtos } };
}
