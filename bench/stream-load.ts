/**
 * One server stream after another through a chain, read as fast as it comes by a stock grpc-js client.
 *
 * `node stream-load.js`: runs what its parent sends, so that one warm client serves all chains.
 */
import { performance } from "node:perf_hooks";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { streamMessage, streamMethods, streamOrders } from "../test/support/stream-service.ts";
import { isMain, serveParent } from "./child.ts";

export interface StreamLoadOptions {
  /** `host:port` of the first hop. */
  readonly target: string;
  readonly messages: number;
  readonly messageBytes: number;
  /** Sent with the call. */
  readonly metadata: readonly (readonly [key: string, value: string])[];
}

export interface StreamLoadFigures {
  readonly seconds: number;
  /** Until the first message. */
  readonly firstMs: number;
  readonly messages: number;
  readonly bytes: number;
}

const raw = (bytes: Buffer): Buffer => bytes;
const callTimeoutMs = 120_000;

/** Reads one stream to its end. Rejects when it ends with another status than OK. */
export async function runStreamLoad(options: StreamLoadOptions): Promise<StreamLoadFigures> {
  const client = new Client(options.target, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [key, value] of options.metadata) metadata.add(key, value);
  metadata.add(streamOrders.count, String(options.messages));
  metadata.add(streamOrders.size, String(options.messageBytes));
  const startedMs = performance.now();
  const call = client.makeServerStreamRequest(
    streamMethods.expand,
    raw,
    raw,
    streamMessage(new Uint8Array(0)),
    metadata,
    { deadline: Date.now() + callTimeoutMs },
  );
  let messages = 0;
  let bytes = 0;
  let firstMs = Number.NaN;
  try {
    for await (const message of call as AsyncIterable<Buffer>) {
      if (messages === 0) firstMs = performance.now() - startedMs;
      messages += 1;
      bytes += message.length;
    }
  } finally {
    client.close();
  }
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, firstMs, messages, bytes };
}

if (isMain(import.meta.url)) {
  serveParent(0, (load) => runStreamLoad(load as StreamLoadOptions));
}
