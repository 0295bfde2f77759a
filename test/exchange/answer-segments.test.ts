import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  callMessageBytesBound,
  callMessageBytesMax,
  exchangeFrameBytesMax,
  exchangeFrameOverheadBytes,
  recordBytesMax,
} from "../../src/base/limits.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { createMessage } from "../../src/base/create-message.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { AnswerSegments, segmentBytesOf } from "../../src/exchange/answer-segments.ts";
import { type Metadata, MetadataSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

test("a full segment and the message that fills it go into one frame, under any configuration", () => {
  for (const bound of [1024, 1 << 20, 1 << 26]) {
    for (const messageBytesMax of [1, callMessageBytesMax, callMessageBytesBound]) {
      const segmentBytes = segmentBytesOf(bound, messageBytesMax);
      assert.ok(segmentBytes > 0 && segmentBytes <= bound);
      const frameBytes = segmentBytes - 1 + messageBytesMax + exchangeFrameOverheadBytes;
      assert.ok(frameBytes <= exchangeFrameBytesMax);
    }
  }
  assert.equal(segmentBytesOf(1 << 20, callMessageBytesBound), 1 << 20);
  assert.ok(exchangeFrameOverheadBytes > 2 * recordBytesMax);
});

const bounds = { messagesMax: 0n, bytesMax: 0n, segmentMessages: 8, segmentBytes: 1 << 20 };

function headersOf(keys: readonly string[]): Metadata {
  return createMessage(MetadataSchema, {
    entries: keys.map((key) => ({ key, value: new Uint8Array(1) })),
  });
}

test("what the upstream gave and what is released have each their own transcript, whatever the mask takes away", () => {
  const steps = fc.array(
    fc.record({ bytes: fc.uint8Array({ maxLength: 9 }), masked: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.option(fc.boolean()), steps, fc.nat(5), (secret, messages, cutEvery) => {
      const masked = new Set<Uint8Array>(
        messages.filter((step) => step.masked).map((step) => step.bytes),
      );
      const maskOf = (bytes: Uint8Array): Uint8Array =>
        masked.has(bytes) ? new Uint8Array(2) : bytes;
      const released = headersOf(["shown"]);
      const segments = new AnswerSegments(
        { headers: () => released, message: maskOf, status: (status) => status },
        bounds,
        { take: () => true },
      );
      const given = headersOf(secret === true ? ["shown", "secret"] : ["shown"]);
      const hasHeaders = secret !== null;
      const empty = new Uint8Array(0);
      const encoded = (metadata: Metadata): Uint8Array =>
        hasHeaders ? encodeMessage(MetadataSchema, metadata) : empty;
      if (hasHeaders) segments.addHeaders(given);
      const taken: Uint8Array[] = [];
      const check = (): void => {
        const { response, upstream } = segments.take();
        assert.deepEqual(upstream, transcriptOf(encoded(given), taken));
        assert.deepEqual(response, transcriptOf(encoded(released), taken.map(maskOf)));
      };
      for (const [i, { bytes }] of messages.entries()) {
        segments.addMessage(bytes);
        taken.push(bytes);
        if (i % (cutEvery + 1) === cutEvery) check();
      }
      check();
    }),
  );
});
