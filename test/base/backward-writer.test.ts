import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BackwardWriter } from "../../src/base/backward-writer.ts";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { MetadataEntrySchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

const keptBytes = 128 * 1024;

test("a text is written right wherever the buffer ends inside of it", () => {
  const writer = new BackwardWriter();
  for (const text of ["plain", "Mëtadäta", "ascii, and then ü", "€".repeat(64)]) {
    for (let left = 0; left <= utf8(text).length + 1; left++) {
      const before = new Uint8Array(keptBytes - left).fill(7);
      writer.start();
      writer.bytes(before);
      writer.text(text);
      const written = writer.finish();
      assert.ok(Buffer.compare(written, concatBytes(utf8(text), before)) === 0, `${text} ${left}`);
    }
  }
});

test("a message whose key stands at the end of the buffer is encoded as protobuf-es does", () => {
  for (let length = keptBytes - 24; length <= keptBytes; length++) {
    const message = create(MetadataEntrySchema, {
      key: "schlüssel",
      value: new Uint8Array(length).fill(1),
    });
    const expected = toBinary(MetadataEntrySchema, message);
    assert.ok(Buffer.compare(encodeMessage(MetadataEntrySchema, message), expected) === 0);
  }
});
