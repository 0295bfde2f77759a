/** The descriptor set of a gRPC server, asked of the server itself by reflection. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import {
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { CausewayError } from "../../src/base/errors.ts";
import { createGrpcClient } from "../../src/exchange/transport/grpc-client.ts";
import {
  ServerReflection as ServerReflectionV1,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionV1Alpha } from "../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { inImportOrder } from "./descriptor-files.ts";
import { isOwnService } from "./dev-services.ts";

const reflectMs = 15_000;
/** A server with more is given by --descriptors: far more than any that people write. */
const filesMax = 4096;

// The two versions have the same messages.
const paths: readonly string[] = [ServerReflectionV1, ServerReflectionV1Alpha].map(
  ({ typeName, method }) => `/${typeName}/${method.serverReflectionInfo.name}`,
);

type Question = ServerReflectionRequest["messageRequest"];
type Answer = ServerReflectionResponse["messageResponse"];
type Stream = ClientDuplexStream<Question, Answer>;
type Ask = (question: Question) => Promise<Answer>;

function encodeQuestion(messageRequest: Question): Buffer {
  const request = create(ServerReflectionRequestSchema, { messageRequest });
  return Buffer.from(toBinary(ServerReflectionRequestSchema, request));
}

function answerIn(bytes: Buffer): Answer {
  return fromBinary(ServerReflectionResponseSchema, bytes).messageResponse;
}

export interface Reflected {
  /** Encoded `google.protobuf.FileDescriptorSet` with all imports. */
  readonly descriptors: Uint8Array;
  /** Full names of the services that the server offers, without those that a gateway has itself. */
  readonly services: readonly string[];
}

/**
 * Asks a server for its services and their files, in version v1 of the protocol or, where the server does
 * not know it, in v1alpha.
 *
 * @param address `host:port`, plaintext.
 * @throws CausewayError `UPSTREAM_UNAVAILABLE` when nothing answers, `DESCRIPTOR_INVALID` when the server
 * has no reflection or says what is not a complete descriptor set.
 */
export async function reflectDescriptors(
  address: string,
  options: { /** Unix milliseconds. */ readonly nowMs: number },
): Promise<Reflected> {
  const client = createGrpcClient(address, credentials.createInsecure());
  const deadline = options.nowMs + reflectMs;
  try {
    for (const path of paths) {
      const stream: Stream = client.makeBidiStreamRequest(
        path,
        encodeQuestion,
        answerIn,
        new Metadata(),
        { deadline },
      );
      try {
        return await readServer(asking(stream));
      } catch (error) {
        if ((error as Partial<ServiceError>).code !== status.UNIMPLEMENTED) {
          throw told(error, address);
        }
      } finally {
        stream.cancel();
      }
    }
  } finally {
    client.close();
  }
  throw new CausewayError(
    "DESCRIPTOR_INVALID",
    `${address} has no server reflection: give its services with --descriptors or --proto`,
  );
}

/** One question after another: each is answered by exactly one message. */
function asking(stream: Stream): Ask {
  const answers = stream[Symbol.asyncIterator]() as AsyncIterator<Answer>;
  // A stream that is ended here reports that to nobody.
  stream.on("error", () => undefined);
  return async (question) => {
    stream.write(question);
    const { value, done } = await answers.next();
    if (done === true) throw invalid("the server ended its reflection without an answer");
    return value;
  };
}

async function readServer(ask: Ask): Promise<Reflected> {
  const listed = await ask({ case: "listServices", value: "*" });
  if (listed.case !== "listServicesResponse") throw unexpected(listed, "its services");
  const services = listed.value.service
    .map(({ name }) => name)
    .filter((name) => !isOwnService(name));
  const files = new Map<string, FileDescriptorProto>();
  const take = async (question: Question & { readonly value: string }): Promise<void> => {
    const answer = await ask(question);
    if (answer.case !== "fileDescriptorResponse") throw unexpected(answer, question.value);
    for (const bytes of answer.value.fileDescriptorProto) {
      const file = fromBinary(FileDescriptorProtoSchema, bytes);
      files.set(file.name, file);
    }
    if (files.size > filesMax) throw invalid(`the server names more than ${filesMax} files`);
  };
  for (const value of services) await take({ case: "fileContainingSymbol", value });
  // A map is walked to what is added on the way.
  for (const { dependency } of files.values()) {
    for (const value of dependency) {
      if (files.has(value)) continue;
      await take({ case: "fileByFilename", value });
      if (!files.has(value))
        throw invalid(`asked for ${value}, the server's reflection sent others`);
    }
  }
  const set = create(FileDescriptorSetSchema, { file: [...inImportOrder(files)] });
  return { descriptors: toBinary(FileDescriptorSetSchema, set), services };
}

function unexpected(answer: Answer, about: string): CausewayError {
  const said =
    answer.case === "errorResponse"
      ? `${answer.value.errorCode} ${answer.value.errorMessage}`
      : (answer.case ?? "nothing");
  return invalid(`asked for ${about}, the server's reflection answered: ${said}`);
}

function invalid(message: string): CausewayError {
  return new CausewayError("DESCRIPTOR_INVALID", message);
}

function told(error: unknown, address: string): unknown {
  if (error instanceof CausewayError) return error;
  const { code, details } = error as Partial<ServiceError>;
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) {
    const message = `no gRPC server answers at ${address}`;
    return new CausewayError("UPSTREAM_UNAVAILABLE", message, { cause: error });
  }
  const message = `the reflection of ${address} failed: ${details ?? String(error)}`;
  return new CausewayError("DESCRIPTOR_INVALID", message, { cause: error });
}
