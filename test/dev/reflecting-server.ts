/** Server reflection as a stock server offers it, over the files of `trial.v1.Greeter`. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel,
} from "@bufbuild/protobuf/wkt";
import type {
  ServerDuplexStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";

const wordFile: MessageInitShape<typeof FileDescriptorProtoSchema> = {
  name: "trial/v1/word.proto",
  package: "trial.v1",
  syntax: "proto3",
  messageType: [
    {
      name: "Word",
      field: [
        {
          name: "text",
          number: 1,
          label: FieldDescriptorProto_Label.OPTIONAL,
          type: FieldDescriptorProto_Type.STRING,
          jsonName: "text",
        },
      ],
    },
  ],
};

const word = ".trial.v1.Word";
const greeterFile: MessageInitShape<typeof FileDescriptorProtoSchema> = {
  name: "trial/v1/greeter.proto",
  package: "trial.v1",
  syntax: "proto3",
  dependency: [wordFile.name as string],
  service: [
    {
      name: "Greeter",
      method: [
        { name: "Greet", inputType: word, outputType: word },
        {
          name: "Look",
          inputType: word,
          outputType: word,
          options: { idempotencyLevel: MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS },
        },
      ],
    },
  ],
};

/** Files by name: a service's own file is sent alone, its imports are to be asked for. */
export const greeterFiles: ReadonlyMap<string, FileDescriptorProto> = new Map(
  [greeterFile, wordFile].map((file) => [
    file.name as string,
    create(FileDescriptorProtoSchema, file),
  ]),
);

type Answer = MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"];

function answerTo({ messageRequest: { case: asked, value } }: ServerReflectionRequest): Answer {
  if (asked === "listServices") {
    const names = ["trial.v1.Greeter", "grpc.reflection.v1alpha.ServerReflection"];
    return { case: "listServicesResponse", value: { service: names.map((name) => ({ name })) } };
  }
  const name = value === "trial.v1.Greeter" ? "trial/v1/greeter.proto" : value;
  const file = typeof name === "string" ? greeterFiles.get(name) : undefined;
  if (file === undefined) {
    // Its own file is of no use to a caller: a server may well not know it.
    return { case: "errorResponse", value: { errorCode: 5, errorMessage: `no such ${asked}` } };
  }
  const bytes = toBinary(FileDescriptorProtoSchema, file);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: [bytes] } };
}

/** The older version of the protocol alone, as many servers have it. */
export const reflecting: {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
} = {
  definition: {
    info: {
      path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      requestStream: true,
      responseStream: true,
      requestSerialize: () => Buffer.alloc(0),
      requestDeserialize: (bytes) => fromBinary(ServerReflectionRequestSchema, bytes),
      responseSerialize: (response: ServerReflectionResponse) =>
        Buffer.from(toBinary(ServerReflectionResponseSchema, response)),
      responseDeserialize: () => undefined,
    },
  },
  handlers: {
    info: (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) => {
      call.on("data", (request: ServerReflectionRequest) => {
        const messageResponse = answerTo(request);
        call.write(create(ServerReflectionResponseSchema, { messageResponse } as object));
      });
      call.on("end", () => call.end());
    },
  },
};
