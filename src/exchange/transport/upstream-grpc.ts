/** Calls a gRPC data service on a thin client over node:http2: one connection, calls of all types. */
import { createMessage } from "../../base/create-message.ts";
import { upstreamCloseMs } from "../../base/limits.ts";
import { type Metadata, MetadataSchema } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { Http2Connection, type Http2ConnectionOptions } from "./http2-connection.ts";
import type { UnaryAnswer, UpstreamCall, UpstreamConnector } from "./ports.ts";
import { plainStatus } from "./trailers.ts";
import { GrpcCall, type GrpcCallOptions } from "./upstream-grpc-call.ts";

export interface GrpcUpstreamOptions extends Http2ConnectionOptions {
  /** How messages to the upstream are sent; `none` by default. What it sends is read either way. */
  readonly compression?: "gzip" | "none";
}

/** A connector to one gRPC server. It connects with the first call. */
export function createGrpcUpstream(options: GrpcUpstreamOptions): UpstreamConnector {
  const connection = new Http2Connection(options);
  const { scheduler } = options;
  const callOptions = { connection, scheduler, gzip: options.compression === "gzip" };
  return {
    kind: "grpc",
    callUnary: (call) => callUnary(call, callOptions),
    open: (call, listener) => {
      const stream = new GrpcCall(call, callOptions, listener);
      stream.start();
      return stream;
    },
    close: () => connection.close(upstreamCloseMs),
  };
}

function callUnary(call: UpstreamCall, options: GrpcCallOptions): Promise<UnaryAnswer> {
  return new Promise((resolve, reject) => {
    let headers: Metadata | undefined;
    let message: Uint8Array | undefined;
    const end = (status: UnaryAnswer["status"]): void =>
      resolve({
        headers: headers ?? createMessage(MetadataSchema, {}),
        messages: status.code === 0 && message !== undefined ? [message] : [],
        status,
      });
    const stream = new GrpcCall({ ...call, messageBytesMax: call.answerBytesMax }, options, {
      onHeaders: (received) => {
        headers = received;
      },
      onMessage: (received) => {
        if (message !== undefined) {
          stream.abandon();
          end(notUnary("more than one message"));
        }
        message = received;
      },
      onEnd: (status) => {
        end(status.code === 0 && message === undefined ? notUnary("no message") : status);
      },
      onFailed: reject,
    });
    stream.start(call.message);
  });
}

function notUnary(found: string): UnaryAnswer["status"] {
  return plainStatus(13, `the data service answered a unary call with ${found}`);
}
