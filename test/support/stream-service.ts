/**
 * A service with a method of each call type, over google.protobuf.BytesValue, and its upstream: a stock grpc-js
 * server that knows nothing of gateways.
 */
import type { EventEmitter } from "node:events";
import {
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
} from "@bufbuild/protobuf/wkt";

export const streamMethods = {
  unary: "/causeway.test.v1.StreamService/Unary",
  collect: "/causeway.test.v1.StreamService/Collect",
  expand: "/causeway.test.v1.StreamService/Expand",
  chat: "/causeway.test.v1.StreamService/Chat",
  speak: "/causeway.test.v1.StreamService/Speak",
} as const;

export type StreamMethod = keyof typeof streamMethods;

/** Which side of each method streams, and whether it writes. */
export const streamShapes: Readonly<
  Record<
    StreamMethod,
    { readonly client: boolean; readonly server: boolean; readonly writes: boolean }
  >
> = {
  unary: { client: false, server: false, writes: false },
  collect: { client: true, server: false, writes: true },
  expand: { client: false, server: true, writes: false },
  chat: { client: true, server: true, writes: false },
  speak: { client: true, server: true, writes: true },
};

/** The FileDescriptorSet of the service. */
export function streamDescriptors(): Uint8Array {
  const type = ".google.protobuf.BytesValue";
  const file = create(FileDescriptorProtoSchema, {
    name: "causeway/test/v1/stream.proto",
    package: "causeway.test.v1",
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "StreamService",
        method: Object.entries(streamMethods).map(([name, path]) => ({
          name: path.slice(path.lastIndexOf("/") + 1),
          inputType: type,
          outputType: type,
          clientStreaming: streamShapes[name as StreamMethod].client,
          serverStreaming: streamShapes[name as StreamMethod].server,
        })),
      },
    ],
  });
  return toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, file] }),
  );
}

const passed = (bytes: Buffer): Buffer => bytes;

/** For stock grpc-js clients and servers: messages are bytes as they are. */
export const streamDefinition: ServiceDefinition = Object.fromEntries(
  Object.entries(streamMethods).map(([name, path]) => [
    name,
    {
      path,
      requestStream: streamShapes[name as StreamMethod].client,
      responseStream: streamShapes[name as StreamMethod].server,
      requestSerialize: passed,
      requestDeserialize: passed,
      responseSerialize: passed,
      responseDeserialize: passed,
    },
  ]),
);

/** A message of the service: a BytesValue of so many bytes. */
export function streamMessage(value: Uint8Array): Buffer {
  const length: number[] = [];
  for (let rest = value.length; ; rest >>>= 7) {
    if (rest < 0x80) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  return value.length === 0
    ? Buffer.alloc(0)
    : Buffer.concat([Uint8Array.of(0x0a, ...length), value]);
}

export interface StreamUpstream {
  readonly address: string;
  /** Calls that were begun, by method. */
  readonly calls: Map<string, number>;
  /** Messages that the upstream has written or taken, over all calls. */
  readonly counts: { written: number; taken: number; cancelled: number };
  close(): void;
}

/** How a call of the upstream goes is asked for in its metadata. */
export const streamOrders = {
  /** Messages of `expand`, and the bytes of each; the bytes of the answer of `unary`, which else is its request. */
  count: "x-count",
  size: "x-size",
  /** The code, message and `grpc-status-details-bin` that the call ends with. */
  code: "x-code",
  message: "x-message-bin",
  statusDetails: "x-status-details-bin",
  /** Comes back as headers and as trailers. */
  echo: "x-echo",
  echoBinary: "x-echo-bin",
  /** Milliseconds before the first answer. */
  wait: "x-wait",
} as const;

function numberOf(metadata: Metadata, key: string, otherwise: number): number {
  const [value] = metadata.get(key);
  return value === undefined ? otherwise : Number(value);
}

function sendBack(metadata: Metadata): Metadata {
  const back = new Metadata();
  for (const key of [streamOrders.echo, streamOrders.echoBinary]) {
    for (const value of metadata.get(key)) back.add(key, value);
  }
  return back;
}

interface Ending {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

function endingOf(metadata: Metadata): Ending | undefined {
  const code = numberOf(metadata, streamOrders.code, 0);
  if (code === 0) return undefined;
  const [details] = metadata.get(streamOrders.message);
  const trailers = sendBack(metadata);
  const [statusDetails] = metadata.get(streamOrders.statusDetails);
  if (statusDetails !== undefined) trailers.set("grpc-status-details-bin", statusDetails);
  return { code, details: String(details ?? ""), metadata: trailers };
}

/** A handler that goes on by itself: what it throws ends the call. */
function running<Call extends EventEmitter>(
  work: (call: Call) => Promise<void>,
): (call: Call) => void {
  return (call) => {
    work(call).catch((error: unknown) => call.emit("error", error));
  };
}

type Streaming =
  | ServerReadableStream<Buffer, Buffer>
  | ServerWritableStream<Buffer, Buffer>
  | ServerDuplexStream<Buffer, Buffer>;

export async function startStreamUpstream(port = 0): Promise<StreamUpstream> {
  const calls = new Map<string, number>();
  const counts = { written: 0, taken: 0, cancelled: 0 };
  const began = (method: StreamMethod, call: Streaming | ServerUnaryCall<Buffer, Buffer>): void => {
    calls.set(method, (calls.get(method) ?? 0) + 1);
    (call as EventEmitter).on("cancelled", () => {
      counts.cancelled++;
    });
    call.sendMetadata(sendBack(call.metadata));
  };
  const finish = (
    call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  ): void => {
    const ending = endingOf(call.metadata);
    if (ending === undefined) call.end(sendBack(call.metadata));
    else call.emit("error", ending);
  };
  const write = async (
    call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
    message: Buffer,
  ): Promise<void> => {
    counts.written++;
    if (call.cancelled || call.write(message)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        call.off("drain", done);
        call.off("cancelled", done);
        resolve();
      };
      call.on("drain", done);
      call.on("cancelled", done);
    });
  };
  const server = new Server({ "grpc.max_receive_message_length": 16 * 1024 * 1024 });
  server.addService(streamDefinition, {
    unary: ((call, callback) => {
      began("unary", call);
      const wait = numberOf(call.metadata, streamOrders.wait, 0);
      setTimeout(() => {
        const ending = endingOf(call.metadata);
        const size = numberOf(call.metadata, streamOrders.size, -1);
        const answer = size < 0 ? call.request : streamMessage(Buffer.alloc(size, 1));
        if (ending === undefined) callback(null, answer, sendBack(call.metadata));
        else callback({ ...ending, name: "", message: "" });
      }, wait);
    }) satisfies handleUnaryCall<Buffer, Buffer>,
    collect: (
      call: ServerReadableStream<Buffer, Buffer>,
      callback: (error: Ending | null, value?: Buffer, trailers?: Metadata) => void,
    ) => {
      began("collect", call);
      let bytes = 0;
      let messages = 0;
      call.on("data", (message: Buffer) => {
        counts.taken++;
        messages++;
        bytes += message.length;
      });
      call.on("end", () => {
        const ending = endingOf(call.metadata);
        const answer = streamMessage(Buffer.from(`${messages} ${bytes}`));
        if (ending === undefined) callback(null, answer, sendBack(call.metadata));
        else callback(ending);
      });
    },
    expand: running(async (call: ServerWritableStream<Buffer, Buffer>) => {
      began("expand", call);
      const count = numberOf(call.metadata, streamOrders.count, 3);
      const size = numberOf(call.metadata, streamOrders.size, 100);
      for (let i = 0; i < count && !call.cancelled; i++) {
        const value = Buffer.alloc(size, i % 251);
        if (size >= 4) value.writeUInt32BE(i);
        await write(call, streamMessage(value));
      }
      if (!call.cancelled) finish(call);
    }),
    chat: running(async (call: ServerDuplexStream<Buffer, Buffer>) => {
      began("chat", call);
      for await (const message of call.iterator({ destroyOnReturn: false })) {
        counts.taken++;
        await write(call, message as Buffer);
      }
      finish(call);
    }),
    speak: running(async (call: ServerDuplexStream<Buffer, Buffer>) => {
      began("speak", call);
      await write(call, streamMessage(Buffer.from("hello")));
      call.on("data", () => {
        counts.taken++;
      });
      call.on("end", () => finish(call));
    }),
  });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    );
  });
  return {
    address: `127.0.0.1:${bound}`,
    calls,
    counts,
    close: () => server.forceShutdown(),
  };
}
