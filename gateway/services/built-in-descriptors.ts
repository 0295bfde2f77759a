/** The descriptors of what the gateway serves agency systems itself, and of the details of its errors. */
import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_google_rpc_error_details } from "../../src/gen/google/rpc/error_details_pb.ts";
import { file_grpc_health_v1_health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { file_grpc_reflection_v1alpha_reflection } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { DescriptorIndex } from "./descriptor-index.ts";

const files: readonly DescFile[] = [
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
  // So that a client that lives on reflection, such as grpcurl, reads a refusal's details.
  file_google_rpc_error_details,
];

export const builtInServiceNames: readonly string[] = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
];

export function builtInDescriptors(): DescriptorIndex {
  const set = create(FileDescriptorSetSchema, { file: files.map(({ proto }) => proto) });
  return new DescriptorIndex(toBinary(FileDescriptorSetSchema, set));
}
