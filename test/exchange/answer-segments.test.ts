import assert from "node:assert/strict";
import test from "node:test";
import {
  callMessageBytesBound,
  callMessageBytesMax,
  exchangeFrameBytesMax,
  exchangeFrameOverheadBytes,
  recordBytesMax,
} from "../../src/base/limits.ts";
import { segmentBytesOf } from "../../src/exchange/answer-segments.ts";

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
