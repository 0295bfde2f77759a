import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { requestCreditBytes, replayBytesMax } from "../../src/base/limits.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { ConsumerRequest } from "../../src/exchange/consumer-request.ts";
import type { Carriage, FrameBody, LinkEnd } from "../../src/exchange/ports.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import { MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

const headers = new Uint8Array([1, 2, 3]);

/** A caller whose messages come when the test says so. */
class Caller implements IncomingCall {
  readonly path = "/a.B/C";
  readonly headers = create(MetadataSchema);
  readonly timeoutMs = undefined;
  readonly peerCertificate = undefined;
  #queue: (Uint8Array | undefined)[] = [];
  #waiting: ((message: Uint8Array | undefined) => void) | undefined;
  reads = 0;

  say(...messages: (Uint8Array | undefined)[]): void {
    this.#queue.push(...messages);
    this.#serve();
  }

  read(): Promise<Uint8Array | undefined> {
    assert.equal(this.#waiting, undefined, "one read at a time");
    this.reads += 1;
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#serve();
    });
  }

  #serve(): void {
    const resolve = this.#waiting;
    if (resolve === undefined || this.#queue.length === 0) return;
    this.#waiting = undefined;
    resolve(this.#queue.shift());
  }

  sendHeaders(): void {}

  sendMessage(): Promise<void> {
    return Promise.resolve();
  }

  end(): void {}

  answer(): void {}

  onCancelled(): void {}
}

class Sent implements Carriage {
  readonly link = {} as LinkEnd;
  readonly frames: FrameBody[] = [];
  hasRoom: Promise<void> = Promise.resolve();

  send(body: FrameBody): void {
    this.frames.push(body);
  }

  ready(): Promise<void> {
    return this.hasRoom;
  }

  close(): void {}

  get messages(): readonly Uint8Array[] {
    return this.frames.flatMap(({ case: kind, value }) =>
      kind === "request" ? [value.message] : [],
    );
  }

  get halfClosed(): boolean {
    return this.frames.some(({ case: kind }) => kind === "halfClose");
  }
}

/** Lets everything that is ready go on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function message(fill: number, length = 1000): Uint8Array {
  return new Uint8Array(length).fill(fill);
}

function begin(): { caller: Caller; request: ConsumerRequest; failures: unknown[] } {
  const caller = new Caller();
  const failures: unknown[] = [];
  return {
    caller,
    failures,
    request: new ConsumerRequest(caller, headers, (e) => failures.push(e)),
  };
}

describe("the request of an open call at the consumer", () => {
  it("is whole in a new attempt, whatever the caller sent between the two", async () => {
    const { caller, request } = begin();
    const first = new Sent();
    request.sendOn(first);
    caller.say(message(0));
    await settle();
    assert.ok(request.replayable);
    request.hold();
    const more = Array.from({ length: 100 }, (_, i) => message(i + 1));
    caller.say(...more, undefined);
    await settle();
    assert.ok(request.replayable, "a retry was promised");
    const second = new Sent();
    request.sendOn(second);
    await settle();
    assert.deepEqual(second.messages, [message(0), ...more]);
    assert.ok(second.halfClosed);
    assert.deepEqual(request.transcript, transcriptOf(headers, second.messages));
    assert.equal(first.messages.length, 1);
  });

  it("is sent again at once, also while the caller waits for the answer to it", async () => {
    const { caller, request } = begin();
    request.sendOn(new Sent());
    caller.say(message(1));
    await settle();
    request.hold();
    const second = new Sent();
    request.sendOn(second);
    await settle();
    assert.deepEqual(second.messages, [message(1)]);
    caller.say(message(2));
    await settle();
    assert.deepEqual(second.messages, [message(1), message(2)]);
  });

  it("cannot be sent again beyond what is kept, or once it is answered", async () => {
    const { caller, request } = begin();
    request.sendOn(new Sent());
    caller.say(message(1, replayBytesMax));
    await settle();
    assert.equal(request.replayable, false);
    const other = begin();
    other.request.sendOn(new Sent());
    other.request.answered();
    assert.equal(other.request.replayable, false);
  });

  it("is read as credit is given, and as the carriage takes it", async () => {
    const { caller, request } = begin();
    const carriage = new Sent();
    request.sendOn(carriage);
    const half = requestCreditBytes / 2;
    caller.say(message(1, half), message(2, half), message(3, half));
    await settle();
    assert.equal(carriage.messages.length, 1);
    request.credit(half + 64);
    await settle();
    assert.equal(carriage.messages.length, 2);
    let room = (): void => undefined;
    carriage.hasRoom = new Promise((resolve) => (room = resolve));
    // More credit than was asked for, from a provider that reads nothing.
    request.credit(1e12);
    await settle();
    assert.equal(carriage.messages.length, 2);
    room();
    await settle();
    assert.equal(carriage.messages.length, 3);
  });

  it("knows the transcripts that a receipt can still name", async () => {
    const { caller, request } = begin();
    request.sendOn(new Sent());
    caller.say(message(1), message(2), message(3));
    await settle();
    request.taken(2);
    assert.equal(request.transcriptAt(2), undefined);
    assert.deepEqual(request.transcriptAt(3), transcriptOf(headers, [message(1), message(2)]));
    assert.deepEqual(request.transcriptAt(4), request.transcript);
    request.taken(1000);
    assert.deepEqual(request.transcriptAt(4), request.transcript);
    assert.equal(request.transcriptAt(5), undefined);
  });

  it("tells of a request that breaks off, and not once it has ended", async () => {
    const { caller, failures, request } = begin();
    caller.read = () => Promise.reject(new Error("gone"));
    request.sendOn(new Sent());
    await settle();
    assert.equal(failures.length, 1);
    request.end();
    request.sendOn(new Sent());
    await settle();
    assert.equal(failures.length, 1);
  });
});
