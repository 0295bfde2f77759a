/** An agency system: a plain gRPC client with the provider's stubs. It knows its own gateway's address, and nothing else. */
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { ErrorInfoSchema } from "../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.ts";

const deadlineMs = 15_000;

export interface Answer<T> {
  /** gRPC status code. */
  readonly code: number;
  readonly message: T | undefined;
  readonly details: string;
  /** Stable reason code of a refusal. */
  readonly reason: string | undefined;
  /** Handle of the provider's receipt. */
  readonly receipt: string | undefined;
  readonly exchange: string | undefined;
}

export interface CallOptions {
  /** Method path; that of the method unless given. */
  readonly path?: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface AgencySystem {
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<Answer<MessageShape<O>>>;
  close(): void;
}

export function methodPath({ parent, name }: DescMethodUnary<DescMessage, DescMessage>): string {
  return `/${parent.typeName}/${name}`;
}

function textOf(metadata: Metadata, key: string): string | undefined {
  const [value] = metadata.get(key);
  return value === undefined ? undefined : String(value);
}

function reasonOf(metadata: Metadata): string | undefined {
  const [bytes] = metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Uint8Array)) return undefined;
  for (const any of fromBinary(StatusSchema, bytes).details) {
    const info = anyUnpack(any, ErrorInfoSchema);
    if (info !== undefined) return info.reason;
  }
  return undefined;
}

/** Connects to the agency listener of a gateway. */
export function connectAgencySystem(address: string): AgencySystem {
  const client = new Client(address, credentials.createInsecure(), { "grpc.enable_retries": 0 });
  return {
    call: (method, request, { path = methodPath(method), metadata: given }) => {
      const { input, output } = method;
      const metadata = new Metadata();
      for (const [key, value] of Object.entries(given)) metadata.set(key, value);
      return new Promise((resolve) => {
        let message: MessageShape<typeof output> | undefined;
        const call = client.makeUnaryRequest(
          path,
          (value: MessageShape<typeof input>) => Buffer.from(toBinary(input, value)),
          (bytes: Buffer) => fromBinary(output, bytes),
          create(input, request),
          metadata,
          { deadline: Date.now() + deadlineMs },
          (_error: ServiceError | null, value?: MessageShape<typeof output>) => {
            message = value;
          },
        );
        call.on("status", ({ code, details, metadata: trailers }) => {
          // The callback with the message runs in the same turn as this event.
          setImmediate(() =>
            resolve({
              code,
              details,
              message,
              reason: reasonOf(trailers),
              receipt: textOf(trailers, "causeway-receipt"),
              exchange: textOf(trailers, "causeway-exchange-id"),
            }),
          );
        });
      });
    },
    close: () => client.close(),
  };
}
