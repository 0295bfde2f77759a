/** What the tests of the transport share: timers, raw services, certificates. */
import { create } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  Metadata as GrpcMetadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServiceError,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import type { Scheduler } from "../../src/base/clock.ts";
import { utf8 } from "../../src/base/bytes.ts";
import {
  type Metadata,
  MetadataEntrySchema,
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { createIdentity, type Identity } from "./certificate.ts";
import type { PeerTls } from "../../src/exchange/transport/tls-options.ts";

export const scheduler: Scheduler = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

export function metadata(
  entries: readonly (readonly [string, string | Uint8Array])[] = [],
): Metadata {
  return create(MetadataSchema, {
    entries: entries.map(([key, value]) =>
      create(MetadataEntrySchema, {
        key,
        value: typeof value === "string" ? utf8(value) : value,
      }),
    ),
  });
}

export function statusFrame(
  code: number,
  message = "",
  extra: { details?: Uint8Array; trailers?: Metadata } = {},
): StatusFrame {
  return create(StatusFrameSchema, {
    code,
    message: utf8(message),
    details: extra.details ?? new Uint8Array(0),
    trailers: extra.trailers ?? metadata(),
  });
}

/** Entries as text or bytes, for comparison. */
export function pairs(of: Metadata | undefined): [string, string][] {
  return (of?.entries ?? []).map(({ key, value }) => [
    key,
    Buffer.from(value).toString(key.endsWith("-bin") ? "hex" : "latin1"),
  ]);
}

const raw = (bytes: Buffer): Buffer => bytes;

export function rawMethod(
  path: string,
  streaming: { request?: boolean; response?: boolean } = {},
): MethodDefinition<Buffer, Buffer> {
  return {
    path,
    requestStream: streaming.request ?? false,
    responseStream: streaming.response ?? false,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  };
}

/** A stock grpc-js server with one raw method; its port. */
export async function startGrpcServer(
  method: MethodDefinition<Buffer, Buffer>,
  handler: UntypedHandleCall,
): Promise<{ port: number; server: Server }> {
  const server = new Server();
  server.addService({ method }, { method: handler });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, server };
}

export function plainClient(port: number, options: object = {}): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
}

/** A stock grpc-js client that shows one certificate and accepts exactly another. */
export function tlsClient(port: number, own: Identity, server: Identity): Client {
  const secure = credentials.createSsl(
    Buffer.from(server.certificate),
    Buffer.from(own.privateKey),
    Buffer.from(own.certificate),
    { checkServerIdentity: () => undefined },
  );
  return new Client(`localhost:${port}`, secure, { "grpc.use_local_subchannel_pool": 1 });
}

export interface UnaryResult {
  readonly error: ServiceError | null;
  readonly response: Buffer | undefined;
  readonly headers: GrpcMetadata | undefined;
  readonly trailers: GrpcMetadata | undefined;
}

/** One unary call of a stock grpc-js client, with everything that it saw. */
export function grpcUnary(
  client: Client,
  path: string,
  message: Uint8Array,
  options: { metadata?: GrpcMetadata; deadlineMs?: number; onCall?(cancel: () => void): void } = {},
): Promise<UnaryResult> {
  return new Promise((resolve) => {
    let headers: GrpcMetadata | undefined;
    let trailers: GrpcMetadata | undefined;
    let result: { error: ServiceError | null; response: Buffer | undefined } | undefined;
    const done = (): void => {
      if (result !== undefined && trailers !== undefined) resolve({ ...result, headers, trailers });
    };
    const call = client.makeUnaryRequest(
      path,
      raw,
      raw,
      Buffer.from(message),
      options.metadata ?? new GrpcMetadata(),
      options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs },
      (error, response) => {
        result = { error, response };
        done();
      },
    );
    call.on("metadata", (received: GrpcMetadata) => {
      headers = received;
    });
    call.on("status", (status: { metadata: GrpcMetadata }) => {
      trailers = status.metadata;
      done();
    });
    options.onCall?.(() => call.cancel());
  });
}

export function peerTls(own: Identity, ...trusted: readonly Identity[]): PeerTls {
  return {
    certificate: own.certificate,
    privateKey: own.privateKey,
    trusted: trusted.map(({ der }) => der),
  };
}

export { createIdentity, type Identity };

/** Rejects when `promise` has not settled in time: a hang is a failure with a name. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
