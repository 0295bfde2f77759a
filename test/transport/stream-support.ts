/** What the tests of streaming calls share: a listener of the connector that can be awaited, and stock peers. */
import {
  type Client,
  type ClientDuplexStream,
  Metadata as GrpcMetadata,
  type StatusObject,
} from "@grpc/grpc-js";
import type { CausewayError } from "../../src/base/errors.ts";
import type {
  UpstreamConnector,
  UpstreamListener,
  UpstreamStream,
  UpstreamStreamCall,
} from "../../src/exchange/transport/ports.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { metadata } from "./support.ts";

export type Outcome =
  | { readonly kind: "end"; readonly status: StatusFrame }
  | { readonly kind: "failed"; readonly error: CausewayError };

/** Hears one call of the connector, and keeps it. */
export class Heard implements UpstreamListener {
  /** What was called, in order: `headers`, `message`, `end`, `failed`. */
  readonly calls: string[] = [];
  readonly messages: Uint8Array[] = [];
  headers: Metadata | undefined;
  outcome: Outcome | undefined;
  readonly #waiting: (() => void)[] = [];

  onHeaders(headers: Metadata): void {
    this.headers = headers;
    this.#said("headers");
  }

  onMessage(message: Uint8Array): void {
    this.messages.push(message);
    this.#said("message");
  }

  onEnd(status: StatusFrame): void {
    this.outcome = { kind: "end", status };
    this.#said("end");
  }

  onFailed(error: CausewayError): void {
    this.outcome = { kind: "failed", error };
    this.#said("failed");
  }

  /** Resolves once `isSo`, which is looked at after everything that is heard. */
  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async untilMessages(count: number): Promise<void> {
    await this.until(() => this.messages.length >= count);
  }

  async status(): Promise<StatusFrame> {
    const outcome = await this.#settled();
    if (outcome.kind === "failed") throw outcome.error;
    return outcome.status;
  }

  async error(): Promise<CausewayError> {
    const outcome = await this.#settled();
    if (outcome.kind === "end") throw new Error(`the call ended with ${outcome.status.code}`);
    return outcome.error;
  }

  async #settled(): Promise<Outcome> {
    await this.until(() => this.outcome !== undefined);
    return this.outcome as Outcome;
  }

  #said(what: string): void {
    this.calls.push(what);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export interface Opened {
  readonly heard: Heard;
  readonly stream: UpstreamStream;
  readonly abort: AbortController;
}

export function openCall(
  upstream: UpstreamConnector,
  path: string,
  options: Partial<UpstreamStreamCall> = {},
): Opened {
  const heard = new Heard();
  const abort = new AbortController();
  const call = {
    path,
    headers: metadata(),
    timeoutMs: undefined,
    messageBytesMax: 4 * 1024 * 1024,
    signal: abort.signal,
    ...options,
  };
  return { heard, stream: upstream.open(call, heard), abort };
}

/** A bidirectional call of a stock client on raw bytes. */
export function stockStream(
  client: Client,
  path: string,
  options: { readonly headers?: GrpcMetadata; readonly deadlineMs?: number } = {},
): ClientDuplexStream<Buffer, Buffer> {
  const raw = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(
    path,
    raw,
    raw,
    options.headers ?? new GrpcMetadata(),
    options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs },
  );
  call.on("error", () => {});
  return call;
}

export function statusOfStock(call: ClientDuplexStream<Buffer, Buffer>): Promise<StatusObject> {
  return new Promise((resolve) => call.once("status", resolve));
}

/** Bytes that say their number, so that a loss, a double or a wrong order shows. */
export function numbered(number: number, length = 4): Buffer {
  const bytes = Buffer.alloc(Math.max(length, 4), number % 251);
  bytes.writeUInt32BE(number);
  return bytes;
}

export function numberOf(message: Uint8Array): number {
  return Buffer.from(message).readUInt32BE();
}

/** Waits until `value` has not changed for `quietMs`, and gives it. */
export async function settledValue(value: () => number, quietMs = 60): Promise<number> {
  for (;;) {
    const before = value();
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    if (value() === before) return before;
  }
}
