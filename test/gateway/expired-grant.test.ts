/** A grant whose time is over while calls under it are open: nobody says so, and nothing is sent. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Metadata, type StatusObject } from "@grpc/grpc-js";
import { Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { type RecordReader, recordReader } from "../attacks/support.ts";
import { eventually } from "../support/admin-client.ts";
import { errorInfo } from "../support/agency-client.ts";
import { type RunningStreams, startStreams, withPurpose } from "../support/running-streams.ts";
import { streamMessage, streamMethods } from "../support/stream-service.ts";

const same = (bytes: Buffer): Buffer => bytes;

describe("a stream whose grant ends", () => {
  let running: RunningStreams;
  let provider: RecordReader;
  let consumer: RecordReader;

  before(async () => {
    running = await startStreams({ grantLifeS: 7 });
    provider = recordReader(running.cities.provider);
    consumer = recordReader(running.cities.consumer);
  });

  after(async () => {
    provider?.close();
    consumer?.close();
    await running?.close();
  });

  async function closings(reader: RecordReader): Promise<readonly [Outcome, string | undefined][]> {
    const entries = await reader.entries();
    const bodies = await Promise.all(
      entries.filter(({ kind }) => kind === "closed").map((entry) => reader.open(entry)),
    );
    return bodies.map(({ record: { body } }) => {
      assert.ok(body.case === "closed");
      return [body.value.outcome, body.value.status?.reason];
    });
  }

  it("ends at that second, silent as it is, with one closing on each side", async () => {
    const call = running.client.makeBidiStreamRequest(
      streamMethods.chat,
      same,
      same,
      withPurpose(new Metadata()),
    );
    const messages: Buffer[] = [];
    call.on("error", () => undefined);
    const ended = new Promise<StatusObject>((resolve) => call.on("status", resolve));
    const answered = new Promise<void>((resolve) => {
      call.on("data", (message: Buffer) => {
        messages.push(message);
        resolve();
      });
    });
    call.write(streamMessage(Buffer.from("a question")));
    await Promise.race([answered, ended]);
    assert.equal(messages.length, 1);
    const status = await ended;
    assert.deepEqual([status.code, errorInfo(status.metadata)?.reason], [7, "GRANT_EXPIRED"]);
    await eventually("both sides have closed", async () => {
      const counts = await Promise.all([closings(provider), closings(consumer)]);
      return counts.every(({ length }) => length === 1);
    });
    // The consumer's own timer may ring first, or the provider's closing come: the reason is the same.
    const [own] = await closings(consumer);
    assert.ok(own?.[0] === Outcome.CANCELLED || own?.[0] === Outcome.REFUSED);
    assert.equal(own[1], "GRANT_EXPIRED");
    const [other] = await closings(provider);
    assert.ok(other?.[0] === Outcome.CANCELLED || other?.[0] === Outcome.REVOKED);
    if (other[0] === Outcome.REVOKED) assert.equal(other[1], "GRANT_EXPIRED");
  });

  it("is refused from then on, in the name of a record that its operator finds", async () => {
    const call = running.client.makeServerStreamRequest(
      streamMethods.chat,
      same,
      same,
      Buffer.alloc(0),
      withPurpose(new Metadata()),
    );
    call.on("error", () => undefined);
    call.resume();
    const { metadata } = await new Promise<StatusObject>((resolve) => call.on("status", resolve));
    const info = errorInfo(metadata);
    assert.equal(info?.reason, "GRANT_EXPIRED");
    const { record } = await consumer.named(info.metadata["record"] ?? "");
    assert.ok(record.body.case === "refusal");
    assert.equal(record.body.value.reason, "GRANT_EXPIRED");
  });
});
