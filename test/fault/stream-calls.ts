/** Streaming calls of an agency system, with what it saw of each; and what the ledger has to say of them then. */
import assert from "node:assert/strict";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type StatusObject,
} from "@grpc/grpc-js";
import { errorInfo } from "../support/agency-client.ts";
import {
  type StreamMethod,
  streamMessage,
  streamMethods,
  streamOrders,
} from "../support/stream-service.ts";
import type { Attempt } from "./attempts.ts";

const same = (bytes: Buffer): Buffer => bytes;

/** Codes of calls that a fault has ended: CANCELLED, DEADLINE_EXCEEDED, ABORTED, UNAVAILABLE. */
const brokenCodes: ReadonlySet<number> = new Set([1, 4, 10, 14]);

export interface StreamCallOptions {
  /** Of `expand`: messages, and the bytes of each, at least 4. */
  readonly count?: number;
  readonly size?: number;
  readonly deadlineMs?: number;
}

/** One call. The purpose tells its attempts from those of all other calls of its method. */
export class StreamCall {
  readonly method: StreamMethod;
  readonly purpose: string;
  readonly ended: Promise<StatusObject>;
  readonly raw: ClientDuplexStream<Buffer, Buffer>;
  /** Messages of the answer that the caller has. */
  received = 0;
  /** Whether headers of the answer have come. */
  begun = false;
  status: StatusObject | undefined;
  readonly #size: number;
  #sent = 0;
  readonly #waiting = new Set<() => void>();

  constructor(
    client: Client,
    method: StreamMethod,
    purpose: string,
    options: StreamCallOptions = {},
  ) {
    const { count = 3, size = 100, deadlineMs = 60_000 } = options;
    this.#size = size;
    this.method = method;
    this.purpose = purpose;
    const metadata = new Metadata();
    metadata.set("causeway-purpose", purpose);
    metadata.set(streamOrders.count, String(count));
    metadata.set(streamOrders.size, String(size));
    this.raw = client.makeBidiStreamRequest(streamMethods[method], same, same, metadata, {
      deadline: Date.now() + deadlineMs,
    });
    this.raw.on("error", () => undefined);
    this.raw.on("metadata", () => {
      this.begun = true;
      this.#changed();
    });
    this.raw.on("data", (message: Buffer) => this.#take(message));
    this.ended = new Promise((resolve) =>
      this.raw.on("status", (status: StatusObject) => {
        this.status = status;
        this.#changed();
        resolve(status);
      }),
    );
    // A server stream has its one request.
    if (method === "expand") this.raw.end(streamMessage(Buffer.from("go")));
  }

  /** Headers are the first. */
  get framesHandedOver(): number {
    return this.begun ? this.received + 1 : 0;
  }

  /** Sends the next message; `chat` answers with the same. */
  send(): void {
    this.raw.write(messageAt(this.#sent++));
  }

  end(): void {
    this.raw.end();
  }

  cancel(): void {
    this.raw.cancel();
  }

  /** Resolves when so many messages of the answer have come, with 0 when its headers have. */
  async has(messages: number): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      const check = (): void => {
        const isThere = messages === 0 ? this.begun : this.received >= messages;
        if (!isThere && this.status === undefined) return;
        this.#waiting.delete(check);
        if (isThere) resolve();
        else reject(new Error(`${this.method} ended: ${this.status?.details}`));
      };
      this.#waiting.add(check);
      check();
    });
    return this;
  }

  #take(message: Buffer): void {
    assert.ok(this.begun, "headers come first");
    if (this.method === "chat") assert.deepEqual(message, messageAt(this.received));
    if (this.method === "expand") {
      assert.equal(message.readUInt32BE(message.length - this.#size), this.received);
    }
    this.received++;
    this.#changed();
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }
}

function messageAt(number: number): Buffer {
  return streamMessage(Buffer.from(`message ${number}`));
}

/** A stock client of the consumer's agency that does not wait long for a gateway that comes back. */
export function streamClient(address: string): Client {
  return new Client(address, credentials.createInsecure(), {
    "grpc.enable_retries": 0,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 250,
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
  });
}

export function attemptsOf(call: StreamCall, attempts: readonly Attempt[]): readonly Attempt[] {
  const path = streamMethods[call.method];
  return attempts.filter(({ method, purpose }) => method === path && purpose === call.purpose);
}

/**
 * Handed over <= acknowledged <= receipted, no more than `window` segments apart, and whole what ended OK.
 * Calls that share method and purpose may stand for one another.
 */
export function assertStreamed(
  calls: readonly StreamCall[],
  attempts: readonly Attempt[],
  window: number,
): void {
  for (const { acknowledged, receipted, ...attempt } of attempts) {
    const what = describeAttempt({ ...attempt, acknowledged, receipted });
    assert.ok(acknowledged.frames <= receipted.frames, what);
    assert.ok(receipted.segments - acknowledged.segments <= window, what);
  }
  const groups = new Map<string, StreamCall[]>();
  for (const call of calls) {
    const name = `${call.method} for ${call.purpose}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [call]);
    else group.push(call);
  }
  for (const [name, group] of groups) assertGroup(name, group, attempts);
}

function assertGroup(name: string, calls: readonly StreamCall[], all: readonly Attempt[]): void {
  const own = [...attemptsOf(calls[0] as StreamCall, all)];
  const what = `${name}: ${own.map(describeAttempt).join("; ")}`;
  const broken: number[] = [];
  for (const call of calls) {
    const { status, framesHandedOver: frames } = call;
    assert.ok(status !== undefined, `${what} has not ended`);
    if (status.code !== 0) {
      const reason = errorInfo(status.metadata)?.reason;
      const told = `${what}: ${status.code} ${reason} ${status.details}`;
      assert.ok(brokenCodes.has(status.code), told);
      broken.push(frames);
      continue;
    }
    const whole = own.findIndex(
      ({ provider, consumer, acknowledged }) =>
        provider === "receipt" && consumer === "match" && acknowledged.frames === frames,
    );
    assert.ok(whole >= 0, `${frames} frames were handed over as the whole of ${what}`);
    own.splice(whole, 1);
  }
  const acknowledged = own.map((attempt) => attempt.acknowledged.frames).toSorted(descending);
  for (const [i, frames] of broken.toSorted(descending).entries()) {
    assert.ok(frames <= (acknowledged[i] ?? 0), `${frames} frames were handed over of ${what}`);
  }
}

function descending(a: number, b: number): number {
  return b - a;
}

export function describeAttempt(attempt: Attempt): string {
  const { provider, consumer, receipted, acknowledged } = attempt;
  return `${provider} | ${consumer} (${receipted.frames}/${acknowledged.frames})`;
}
