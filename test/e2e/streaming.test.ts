import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ClientDuplexStream, Metadata, type StatusObject } from "@grpc/grpc-js";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import {
  type StreamMethod,
  streamMessage,
  streamMethods,
  streamOrders,
} from "../support/stream-service.ts";

const same = (bytes: Buffer): Buffer => bytes;

interface Ended {
  readonly status: StatusObject;
  readonly headers: Metadata | undefined;
  readonly messages: readonly Buffer[];
}

describe("streaming calls through two gateways, with stock clients and servers", () => {
  let running: RunningStreams;

  before(async () => {
    running = await startStreams();
  });

  after(() => running?.close());

  function open(
    method: StreamMethod,
    orders: Readonly<Record<string, string | Buffer>> = {},
    options: { readonly deadline?: number } = {},
  ): ClientDuplexStream<Buffer, Buffer> {
    const metadata = withPurpose(new Metadata());
    for (const [key, value] of Object.entries(orders)) metadata.add(key, value);
    const path = streamMethods[method];
    return running.client.makeBidiStreamRequest(path, same, same, metadata, options);
  }

  function ended(call: ClientDuplexStream<Buffer, Buffer>): Promise<Ended> {
    const messages: Buffer[] = [];
    let headers: Metadata | undefined;
    return new Promise((resolve) => {
      call.on("metadata", (metadata: Metadata) => {
        headers = metadata;
      });
      call.on("data", (message: Buffer) => messages.push(message));
      call.on("error", () => undefined);
      call.on("status", (status: StatusObject) => resolve({ status, headers, messages }));
    });
  }

  it("carries a client stream: all messages there, one answer back, with a receipt", async () => {
    const call = open("collect");
    const end = ended(call);
    for (let i = 0; i < 50; i++) call.write(streamMessage(Buffer.alloc(1000, i)));
    call.end();
    const { status, messages } = await end;
    assert.equal(status.code, 0, status.details);
    assert.equal(messages[0]?.subarray(2).toString(), `50 ${50 * 1003}`);
    assert.match(String(status.metadata.get("causeway-receipt")[0]), /^[0-9a-f]{64}\/\d+$/);
  });

  it("carries a server stream in order", async () => {
    const call = open("expand", { [streamOrders.count]: "500", [streamOrders.size]: "2000" });
    const end = ended(call);
    call.end(streamMessage(Buffer.from("go")));
    const { status, messages } = await end;
    assert.equal(status.code, 0, status.details);
    assert.equal(messages.length, 500);
    for (const [i, message] of messages.entries()) assert.equal(message.readUInt32BE(3), i);
  });

  it("plays ping-pong: each answer comes before the next question", async () => {
    const call = open("chat");
    const end = ended(call);
    for (let i = 0; i < 10; i++) {
      const question = streamMessage(Buffer.from(`question ${i}`));
      const answer = new Promise<Buffer>((resolve) => call.once("data", resolve));
      call.write(question);
      assert.deepEqual(await answer, question);
    }
    call.end();
    assert.equal((await end).status.code, 0);
  });

  it("lets a server speak first", async () => {
    const call = open("speak");
    const end = ended(call);
    const [first] = await new Promise<Buffer[]>((resolve) =>
      call.once("data", (m: Buffer) => resolve([m])),
    );
    assert.equal(first?.subarray(2).toString(), "hello");
    call.end();
    assert.equal((await end).status.code, 0);
  });

  it("passes headers, trailers and a status with Unicode and white space as they are", async () => {
    const text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const call = open("chat", {
      [streamOrders.echo]: "a value",
      [streamOrders.echoBinary]: Buffer.from([0, 255, 10]),
      [streamOrders.code]: "2",
      [streamOrders.message]: Buffer.from(text),
    });
    const end = ended(call);
    call.end();
    const { status, headers } = await end;
    assert.equal(status.code, 2);
    assert.equal(status.details, text);
    for (const metadata of [headers, status.metadata]) {
      assert.deepEqual(metadata?.get(streamOrders.echo), ["a value"]);
      assert.deepEqual(metadata?.get(streamOrders.echoBinary), [Buffer.from([0, 255, 10])]);
    }
  });

  it("carries a unary call with 3 MiB each way", async () => {
    const message = streamMessage(Buffer.alloc(3 * 1024 * 1024, 7));
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      const metadata = withPurpose(new Metadata());
      running.client.makeUnaryRequest(
        streamMethods.unary,
        same,
        same,
        message,
        metadata,
        (error, value) => (error === null ? resolve(value) : reject(error)),
      );
    });
    assert.ok(answer?.equals(message));
  });

  it("tells the upstream at once that a caller has cancelled, and both sides close the attempt", async () => {
    const before = running.upstream.counts.cancelled;
    const call = open("chat");
    const end = ended(call);
    call.write(streamMessage(Buffer.from("one")));
    await new Promise((resolve) => call.once("data", resolve));
    call.cancel();
    assert.equal((await end).status.code, 1);
    await eventually("the upstream hears of it", () => running.upstream.counts.cancelled > before);
    await eventually("both have closed it", async () => {
      const closings = await Promise.all(
        [running.provider, running.consumer].map(async (admin) => (await admin.records(1))[0]),
      );
      return closings.every((closing) => closing?.kind === "closed");
    });
  });

  it("ends at the deadline on both sides", async () => {
    const call = open("chat", {}, { deadline: Date.now() + 300 });
    const end = ended(call);
    call.write(streamMessage(Buffer.from("one")));
    const { status } = await end;
    assert.equal(status.code, 4);
    await eventually("the provider has closed it", async () => {
      const [newest] = await running.provider.records(1);
      return newest?.kind === "closed";
    });
  });

  it("holds the upstream up when the caller does not read", async () => {
    const call = open("expand", { [streamOrders.count]: "100000", [streamOrders.size]: "10000" });
    call.on("error", () => undefined);
    const before = running.upstream.counts.written;
    // Before its first read a grpc-js client takes in whatever comes.
    const first = new Promise((resolve) => call.once("data", resolve));
    call.end(streamMessage(Buffer.from("go")));
    await first;
    call.pause();
    let last = -1;
    await eventually("the upstream writes no more", async () => {
      const written = running.upstream.counts.written;
      const isStill = written === last;
      last = written;
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return isStill;
    });
    // Windows of segments and of HTTP/2 are some 10 MB; the whole answer is 1 GB.
    assert.ok(running.upstream.counts.written - before < 5000);
    call.cancel();
  });

  it("ends a stream under way when its grant is revoked, and says so", async () => {
    const call = open("chat");
    const end = ended(call);
    call.write(streamMessage(Buffer.from("before")));
    await new Promise((resolve) => call.once("data", resolve));
    await running.revoke();
    call.write(streamMessage(Buffer.from("after")));
    const { status, messages } = await end;
    assert.equal(status.code, 7);
    assert.equal(errorInfo(status.metadata)?.reason, "GRANT_REVOKED");
    assert.equal(messages.length, 1);
  });
});
