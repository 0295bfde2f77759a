/** Typed calls of our own services over grpc-js: protobuf-es messages in and out, CausewayErrors. */
import {
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { createMessage } from "../../base/create-message.ts";
import { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { decodeMessage } from "../../base/wire-reader.ts";
import { encodeMessage } from "../../base/wire-writer.ts";
import { fromServiceError } from "./grpc-errors.ts";
import { grpcClientOptions } from "./grpc-options.ts";

export interface GrpcCallOptions {
  /** Deadline in Unix milliseconds; none by default. */
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  readonly metadata?: Metadata;
  /** Reason for a connection that fails; PEER_UNAVAILABLE by default. */
  readonly unavailable?: ReasonCode;
}

/** A grpc-js client of any of our services, with the limits and keepalive of this project. */
export function createGrpcClient(
  address: string,
  credentials: ChannelCredentials,
  options: ChannelOptions = {},
): Client {
  return new Client(address, credentials, { ...grpcClientOptions, ...options });
}

/** Calls a unary method. Rejects with a CausewayError: the server's reason, or one for the gRPC code. */
export function unaryCall<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  options: GrpcCallOptions = {},
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted === true) {
      reject(cancelled());
      return;
    }
    const call = client.makeUnaryRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      createMessage(method.input, request),
      options.metadata ?? new Metadata(),
      callOptions(options),
      (error: ServiceError | null, response?: MessageShape<O>) => {
        options.signal?.removeEventListener("abort", cancel);
        if (error !== null) reject(fromServiceError(error, options.unavailable));
        else resolve(response as MessageShape<O>);
      },
    );
    const cancel = (): void => call.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
  });
}

/**
 * Calls a server-streaming method; the messages in order, read as the consumer asks for them.
 * Throws a CausewayError as `unaryCall` does. Ending the iteration early cancels the call.
 */
export async function* serverStreamCall<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  options: GrpcCallOptions = {},
): AsyncGenerator<MessageShape<O>, void, undefined> {
  if (options.signal?.aborted === true) throw cancelled();
  const call = client.makeServerStreamRequest(
    pathOf(method),
    serializer(method.input),
    deserializer(method.output),
    createMessage(method.input, request),
    options.metadata ?? new Metadata(),
    callOptions(options),
  );
  const cancel = (): void => call.cancel();
  options.signal?.addEventListener("abort", cancel, { once: true });
  try {
    for await (const message of call) yield message as MessageShape<O>;
  } catch (error) {
    throw isServiceError(error) ? fromServiceError(error, options.unavailable) : error;
  } finally {
    options.signal?.removeEventListener("abort", cancel);
    call.on("error", ignore);
    call.cancel();
  }
}

function cancelled(): CausewayError {
  return new CausewayError("CANCELLED", "cancelled before the call");
}

// A cancelled call reports its own cancellation after nobody listens any more.
function ignore(): void {}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}

function callOptions({ deadlineMs }: GrpcCallOptions): CallOptions {
  return deadlineMs === undefined ? {} : { deadline: deadlineMs };
}

function pathOf(method: DescMethodUnary | DescMethodServerStreaming): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer<I extends DescMessage>(schema: I): (message: MessageShape<I>) => Buffer {
  return (message) => {
    const bytes = encodeMessage(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function deserializer<O extends DescMessage>(schema: O): (bytes: Buffer) => MessageShape<O> {
  return (bytes) => decodeMessage(schema, bytes);
}
