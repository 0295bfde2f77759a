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
import { inImportOrder } from "./descriptor-files.ts";
import {
  decodeReflectionResponse,
  encodeReflectionRequest,
  type ReflectionRequest,
  type ReflectionResponse,
  reflectionPaths,
} from "./reflection-messages.ts";

const reflectMs = 15_000;
/** A server with more is given by --descriptors: far more than any that people write. */
const filesMax = 4096;

type Stream = ClientDuplexStream<ReflectionRequest, ReflectionResponse>;
type Ask = (request: ReflectionRequest) => Promise<ReflectionResponse>;

export interface Reflected {
  /** Encoded `google.protobuf.FileDescriptorSet` with all imports. */
  readonly descriptors: Uint8Array;
  /** Full names of the services that the server offers. */
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
    for (const path of reflectionPaths) {
      const stream: Stream = client.makeBidiStreamRequest(
        path,
        (request: ReflectionRequest) => Buffer.from(encodeReflectionRequest(request)),
        decodeReflectionResponse,
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
  const answers = stream[Symbol.asyncIterator]() as AsyncIterator<ReflectionResponse>;
  // A stream that is ended here reports that to nobody.
  stream.on("error", () => undefined);
  return async (request) => {
    stream.write(request);
    const { value, done } = await answers.next();
    if (done === true) throw invalid("the server ended its reflection without an answer");
    return value;
  };
}

async function readServer(ask: Ask): Promise<Reflected> {
  const listed = await ask({ ask: "services" });
  if (listed.told !== "services") throw unexpected(listed);
  const files = new Map<string, FileDescriptorProto>();
  const wanted: ReflectionRequest[] = listed.names.map((name) => ({ ask: "symbol", name }));
  for (let request = wanted.shift(); request !== undefined; request = wanted.shift()) {
    if (request.ask === "file" && files.has(request.name)) continue;
    const answer = await ask(request);
    if (answer.told !== "files") throw unexpected(answer, request);
    for (const bytes of answer.files) {
      const file = fromBinary(FileDescriptorProtoSchema, bytes);
      files.set(file.name, file);
      wanted.push(...file.dependency.map((name) => ({ ask: "file", name }) as const));
    }
    if (request.ask === "file" && !files.has(request.name)) throw unexpected(answer, request);
    if (files.size > filesMax) throw invalid(`the server names more than ${filesMax} files`);
  }
  const set = create(FileDescriptorSetSchema, { file: [...inImportOrder(files)] });
  return { descriptors: toBinary(FileDescriptorSetSchema, set), services: listed.names };
}

function unexpected(answer: ReflectionResponse, request?: ReflectionRequest): CausewayError {
  const about = request === undefined || request.ask === "services" ? "services" : request.name;
  const said = answer.told === "error" ? `${answer.code} ${answer.message}` : answer.told;
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
