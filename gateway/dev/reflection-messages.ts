/**
 * The messages of gRPC server reflection that a client needs, on the wire. Versions v1 and v1alpha of the
 * protocol have the same ones.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Path of the one method of the protocol, by version; the newest first. */
export const reflectionPaths: readonly string[] = ["v1", "v1alpha"].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

export type ReflectionRequest =
  | { readonly ask: "services" }
  /** The file that declares a service, by its full name. */
  | { readonly ask: "symbol"; readonly name: string }
  /** A file by the name that others import it by. */
  | { readonly ask: "file"; readonly name: string };

export type ReflectionResponse =
  /** Full names of services. */
  | { readonly told: "services"; readonly names: readonly string[] }
  /** Encoded FileDescriptorProtos. */
  | { readonly told: "files"; readonly files: readonly Uint8Array[] }
  | { readonly told: "error"; readonly code: number; readonly message: string }
  | { readonly told: "nothing" };

// Numbers of the members of ServerReflectionRequest and ServerReflectionResponse.
const requestFields = { file: 3, symbol: 4, services: 7 } as const;
const responseFields = { files: 4, services: 6, error: 7 } as const;

export function encodeReflectionRequest(request: ReflectionRequest): Uint8Array {
  return new BinaryWriter()
    .tag(requestFields[request.ask], WireType.LengthDelimited)
    .string(request.ask === "services" ? "*" : request.name)
    .finish();
}

/** Throws what the reader of the wire format throws for bytes that are no message. */
export function decodeReflectionResponse(bytes: Uint8Array): ReflectionResponse {
  let response: ReflectionResponse = { told: "nothing" };
  eachField(bytes, (field, reader) => {
    if (field === responseFields.files) {
      response = { told: "files", files: bytesOf(reader.bytes()) };
    } else if (field === responseFields.services) {
      response = { told: "services", names: bytesOf(reader.bytes()).map(serviceName) };
    } else if (field === responseFields.error) {
      response = { told: "error", ...errorOf(reader.bytes()) };
    } else return false;
    return true;
  });
  return response;
}

/** Calls `take` at each field; what it does not take is passed over. */
function eachField(
  bytes: Uint8Array,
  take: (field: number, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const known = wireType === WireType.LengthDelimited || wireType === WireType.Varint;
    if (!known || !take(field, reader)) reader.skip(wireType, field);
  }
}

/** Every occurrence of field 1. */
function bytesOf(bytes: Uint8Array): readonly Uint8Array[] {
  const values: Uint8Array[] = [];
  eachField(bytes, (field, reader) => {
    if (field !== 1) return false;
    values.push(reader.bytes());
    return true;
  });
  return values;
}

function serviceName(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytesOf(bytes)[0]);
}

function errorOf(bytes: Uint8Array): { readonly code: number; readonly message: string } {
  let [code, message] = [0, ""];
  eachField(bytes, (field, reader) => {
    if (field === 1) code = reader.int32();
    else if (field === 2) message = reader.string();
    else return false;
    return true;
  });
  return { code, message };
}
