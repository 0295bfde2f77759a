import { decodeMessage } from "../../base/wire-reader.ts";
import { encodeMessage } from "../../base/wire-writer.ts";
import { type DescMessage, type DescService, type MessageShape } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** The grpc-js definition of a generated service: handlers and stubs carry protobuf-es messages. */
export function grpcDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(
    service.methods.map((method) => {
      const request = codec(method.input);
      const response = codec(method.output);
      const definition: MethodDefinition<unknown, unknown> = {
        path: `/${service.typeName}/${method.name}`,
        originalName: method.localName,
        requestStream: ["client_streaming", "bidi_streaming"].includes(method.methodKind),
        responseStream: ["server_streaming", "bidi_streaming"].includes(method.methodKind),
        requestSerialize: request.serialize,
        requestDeserialize: request.deserialize,
        responseSerialize: response.serialize,
        responseDeserialize: response.deserialize,
      };
      return [method.localName, definition];
    }),
  );
}

interface Codec {
  readonly serialize: (message: unknown) => Buffer;
  readonly deserialize: (bytes: Buffer) => unknown;
}

function codec(schema: DescMessage): Codec {
  return {
    serialize: (message) => {
      const bytes = encodeMessage(schema, message as MessageShape<DescMessage>);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    deserialize: (bytes) => decodeMessage(schema, bytes),
  };
}
