import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { parseUtf8, utf8 } from "../../src/base/bytes.ts";
import { metadataBytesMax } from "../../src/base/limits.ts";
import { frameMessage, MessageReader } from "../../src/exchange/transport/framing.ts";
import {
  fieldsFromMetadata,
  metadataBytes,
  metadataFromFields,
} from "../../src/exchange/transport/metadata.ts";
import { percentDecode, percentEncode } from "../../src/exchange/transport/percent.ts";
import { formatTimeout, parseTimeout } from "../../src/exchange/transport/timeout.ts";
import { metadata, pairs } from "./support.ts";

function reader(messageBytesMax = 1000, encoding?: string): MessageReader {
  return new MessageReader({ messageBytesMax, encoding });
}

describe("length-prefixed messages", () => {
  it("come out as they went in, however the bytes are cut", () => {
    const message = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(
        fc.array(message),
        fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map((one) => frameMessage(one)));
          const out: Uint8Array[] = [];
          const under = reader();
          for (let at = 0; at < bytes.length; ) {
            const length = cuts.next().value as number;
            for (const found of under.push(bytes.subarray(at, at + length)))
              out.push(found.slice());
            at += length;
          }
          under.finish();
          assert.deepEqual(out, messages);
        },
      ),
    );
  });

  it("are refused above the limit from the prefix alone", () => {
    const prefix = frameMessage(new Uint8Array(1001)).subarray(0, 5);
    assert.throws(() => reader().push(prefix), { code: "MESSAGE_TOO_LARGE" });
    const bytewise = reader();
    for (const byte of prefix.subarray(0, 4)) bytewise.push(Uint8Array.of(byte));
    assert.throws(() => bytewise.push(prefix.subarray(4)), { code: "MESSAGE_TOO_LARGE" });
    const all = Uint8Array.of(0, 255, 255, 255, 255);
    assert.throws(() => reader(0xfffffffe).push(all), { code: "MESSAGE_TOO_LARGE" });
    assert.equal(reader(1000).push(frameMessage(new Uint8Array(1000))).length, 1);
  });

  it("take no more time for a large message in small pieces than its length asks", () => {
    const bytes = frameMessage(new Uint8Array(4 * 1024 * 1024));
    const under = reader(4 * 1024 * 1024);
    const startedMs = performance.now();
    let found = 0;
    for (let at = 0; at < bytes.length; at += 64)
      found += under.push(bytes.subarray(at, at + 64)).length;
    assert.equal(found, 1);
    assert.ok(performance.now() - startedMs < 2000);
  });

  it("are cut off when the bytes end inside one", () => {
    const framed = frameMessage(new Uint8Array(10));
    for (let length = 1; length < framed.length; length++) {
      const under = reader();
      assert.deepEqual(under.push(framed.subarray(0, length)), []);
      assert.throws(() => under.finish(), { code: "PROTOCOL_ERROR" });
    }
  });

  it("are inflated up to the limit and refused with their own reasons otherwise", () => {
    const framed = (body: Buffer): Buffer => {
      const out = frameMessage(body);
      out[0] = 1;
      return out;
    };
    const body = Buffer.alloc(1000, 7);
    const zipped = framed(gzipSync(body));
    assert.deepEqual(reader(1000, "gzip").push(zipped), [new Uint8Array(body)]);
    assert.throws(() => reader(999, "gzip").push(zipped), { code: "MESSAGE_TOO_LARGE" });
    assert.throws(() => reader(1000, "deflate").push(zipped), { code: "COMPRESSION_UNSUPPORTED" });
    assert.throws(() => reader(1000, "identity").push(zipped), { code: "PROTOCOL_ERROR" });
    assert.throws(() => reader(1000).push(zipped), { code: "PROTOCOL_ERROR" });
    assert.throws(() => reader(1000, "gzip").push(framed(body)), { code: "PROTOCOL_ERROR" });
    assert.throws(() => reader().push(Uint8Array.of(2, 0, 0, 0, 0)), { code: "PROTOCOL_ERROR" });
  });
});

describe("grpc-timeout", () => {
  it("is read in all its units, rounded up, and kept within a timer", () => {
    const rows: [string, number][] = [
      ["1H", 3_600_000],
      ["2M", 120_000],
      ["3S", 3000],
      ["4m", 4],
      ["1u", 1],
      ["1n", 1],
      ["0n", 0],
      ["1500000n", 2],
      ["99999999H", 2 ** 31 - 1],
    ];
    for (const [text, ms] of rows) assert.equal(parseTimeout(text), ms, text);
  });

  it("is refused in any other form", () => {
    for (const text of ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", " 1S", "1S "]) {
      assert.throws(() => parseTimeout(text), { code: "PROTOCOL_ERROR" }, text);
    }
  });

  it("is written with at most 8 digits, and never shorter than what it says", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 2 ** 31 - 1, noNaN: true }), (ms) => {
        const text = formatTimeout(ms);
        assert.match(text, /^\d{1,8}[mS]$/);
        const read = parseTimeout(text);
        assert.ok(read >= Math.min(ms, 2 ** 31 - 1) && read < ms + 1000);
      }),
    );
    assert.deepEqual([0, -5, 1e13, Number.POSITIVE_INFINITY].map(formatTimeout), [
      "1n",
      "1n",
      "2777778H",
      "99999999H",
    ]);
  });
});

describe("grpc-message", () => {
  it("survives any bytes as a header value", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const value = percentEncode(bytes);
        assert.match(value, /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/);
        assert.deepEqual(percentDecode(value), bytes);
      }),
    );
  });

  it("is written as the specification's examples are, and read leniently", () => {
    assert.equal(percentEncode(utf8("a b%c\t☺")), "a b%25c%09%E2%98%BA");
    assert.equal(parseUtf8(percentDecode("50% of %e2%98%ba %zz %")), "50% of ☺ %zz %");
  });
});

describe("metadata", () => {
  it("keeps its order, drops the fields of one hop, and splits joined -bin values", () => {
    const raw = [":path", "/a/b", "te", "trailers", "content-type", "application/grpc"];
    raw.push("x-b", "2", "user-agent", "u", "x-a", "1", "x-b", "1", "grpc-encoding", "gzip");
    raw.push("y-bin", "AQ==,Ag, Aw==", "y-bin", "", "grpc-trace-bin", "AA", "connection", "close");
    assert.deepEqual(pairs(metadataFromFields(raw)), [
      ["x-b", "2"],
      ["user-agent", "u"],
      ["x-a", "1"],
      ["x-b", "1"],
      ["y-bin", "01"],
      ["y-bin", "02"],
      ["y-bin", "03"],
      ["y-bin", ""],
    ]);
  });

  it("comes back from the fields that were made of it", () => {
    const key = fc.stringMatching(/^x-[a-z0-9_.]{1,10}$/);
    const text = fc.stringMatching(/^[\x21-\x7e]([\x20-\x7e]{0,10}[\x21-\x7e])?$/).map(utf8);
    const entry = fc.oneof(
      fc.tuple(key, text),
      fc.tuple(
        key.map((name) => `${name}-bin`),
        fc.uint8Array({ maxLength: 20 }),
      ),
    );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
        const given = metadata(entries);
        const raw = Object.entries(fieldsFromMetadata(given)).flatMap(([name, value]) =>
          [value].flat().flatMap((one) => [name, String(one)]),
        );
        // A key's values keep their order; keys that come twice are sent together.
        const sorted = (of: [string, string][]): [string, string][] =>
          of.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
        assert.deepEqual(sorted(pairs(metadataFromFields(raw))), sorted(pairs(given)));
      }),
    );
  });

  it("is measured as HTTP/2 measures it and refused above 8 KiB", () => {
    const fits = metadata([["x-k", "v".repeat(metadataBytesMax - 35)]]);
    assert.equal(metadataBytes(fits), metadataBytesMax);
    assert.equal(fieldsFromMetadata(fits)["x-k"], "v".repeat(metadataBytesMax - 35));
    const over = metadata([["x-k", "v".repeat(metadataBytesMax - 34)]]);
    assert.throws(() => fieldsFromMetadata(over), { code: "METADATA_TOO_LARGE" });
    const raw = ["x-k", "v".repeat(metadataBytesMax - 34)];
    assert.throws(() => metadataFromFields(raw), { code: "METADATA_TOO_LARGE" });
  });

  it("is refused when HTTP/2 cannot carry it", () => {
    const entries: [string, string][] = [
      ["X-Upper", "v"],
      ["x y", "v"],
      ["x-a", "line\nbreak"],
      ["x-a", "\0"],
      ["x-a", " v"],
      ["x-a", "v "],
    ];
    for (const entry of entries) {
      assert.throws(() => fieldsFromMetadata(metadata([entry])), { code: "PROTOCOL_ERROR" });
    }
    for (const value of ["!", "A", "AQ=A", "A Q"]) {
      assert.throws(() => metadataFromFields(["x-bin", value]), { code: "PROTOCOL_ERROR" });
    }
  });

  it("joins what node:http2 would throw on", () => {
    const twice = metadata([
      ["user-agent", "a"],
      ["user-agent", "b"],
    ]);
    assert.deepEqual({ ...fieldsFromMetadata(twice) }, { "user-agent": "a,b" });
  });
});
