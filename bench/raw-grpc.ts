/** The methods that the benchmark calls, with undecoded messages, on stock grpc-js. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type MethodDefinition,
  Server,
  ServerCredentials,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import {
  DivisionService,
  GetDivisionRequestSchema,
} from "../src/gen/causeway/demo/v1/division_pb.ts";
import { streamMethods } from "../test/support/stream-service.ts";

const raw = (bytes: Buffer): Buffer => bytes;

export const benchMethod: MethodDefinition<Buffer, Buffer> = {
  path: `/${DivisionService.typeName}/${DivisionService.method.getDivision.name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
};

/** The message of every unary call. */
export const benchRequest: Buffer = Buffer.from(
  toBinary(GetDivisionRequestSchema, create(GetDivisionRequestSchema, { code: "330106" })),
);

export const benchStreamMethod: MethodDefinition<Buffer, Buffer> = {
  ...benchMethod,
  path: streamMethods.expand,
  responseStream: true,
};

/** Serves the unary method on plaintext with default options; the port it got. */
export function serveBenchMethod(handler: UntypedHandleCall, port: number): Promise<number> {
  return serveBenchMethods({ getDivision: handler }, port);
}

/** Serves one or both on plaintext with default options; the port it got. */
export function serveBenchMethods(
  handlers: { readonly getDivision: UntypedHandleCall; readonly expand?: UntypedHandleCall },
  port: number,
): Promise<number> {
  const server = new Server();
  server.addService({ getDivision: benchMethod }, { getDivision: handlers.getDivision });
  if (handlers.expand !== undefined) {
    server.addService({ expand: benchStreamMethod }, { expand: handlers.expand });
  }
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}
