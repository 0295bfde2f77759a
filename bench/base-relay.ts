/**
 * The yardstick BASE: a relay as one writes it with grpc-js and nothing else, on plaintext with default
 * options. Deadline, metadata, trailers, status and cancellation pass; messages pass as bytes.
 *
 * `node base-relay.js --target 127.0.0.1:PORT [--port PORT]`
 */
import { parseArgs } from "node:util";
import {
  Client,
  credentials,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
} from "@grpc/grpc-js";
import { isMain, serveParent } from "./child.ts";
import { benchMethod, benchStreamMethod, serveBenchMethods } from "./raw-grpc.ts";

/** Relays the benchmark's methods to `target`; the port on which it listens. */
export function startBaseRelay(options: { target: string; port: number }): Promise<number> {
  const client = new Client(options.target, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = benchMethod;
  const relay = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void => {
    let answer: Buffer | undefined;
    const onward = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      call.request,
      call.metadata.clone(),
      { deadline: call.getDeadline() },
      (_error, response) => {
        answer = response;
      },
    );
    onward.on("metadata", (metadata: Metadata) => call.sendMetadata(metadata));
    // The status comes after the answer and holds the trailers of both outcomes.
    onward.on("status", (status: StatusObject) => {
      if (status.code === 0) done(null, answer, status.metadata);
      else done(status);
    });
    call.on("cancelled", () => onward.cancel());
  };
  const relayStream = (call: ServerWritableStream<Buffer, Buffer>): void => {
    const onward = client.makeServerStreamRequest(
      benchStreamMethod.path,
      benchStreamMethod.requestSerialize,
      benchStreamMethod.responseDeserialize,
      call.request,
      call.metadata.clone(),
      { deadline: call.getDeadline() },
    );
    onward.on("metadata", (metadata: Metadata) => call.sendMetadata(metadata));
    onward.on("data", (message: Buffer) => {
      if (!call.write(message)) onward.pause();
    });
    call.on("drain", () => onward.resume());
    onward.on("status", (status: StatusObject) => {
      // It comes ahead of messages that wait to be read.
      if (status.code === 0) onward.once("end", () => call.end(status.metadata));
      else call.emit("error", status);
    });
    // The status has told of it.
    onward.on("error", () => undefined);
    call.on("cancelled", () => onward.cancel());
  };
  return serveBenchMethods({ getDivision: relay, expand: relayStream }, options.port);
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: { target: { type: "string" }, port: { type: "string", default: "0" } },
  });
  if (values.target === undefined) throw new TypeError("--target HOST:PORT is missing");
  serveParent(await startBaseRelay({ target: values.target, port: Number(values.port) }));
}
