import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { decodeExport, encodeExport, type ExportEntry } from "../../src/audit/export-file.ts";
import { type ReplayResult, replayLedger } from "../../src/audit/replay.ts";
import { AuditLedger, engine, iterate } from "./audit-ledger.ts";

async function bytesOf(entries: Iterable<ExportEntry>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of encodeExport(entries)) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

async function entriesOf(bytes: Uint8Array): Promise<ExportEntry[]> {
  const entries: ExportEntry[] = [];
  for await (const entry of decodeExport([bytes])) entries.push(entry);
  return entries;
}

const content = fc.uint8Array({ minLength: 1, maxLength: 300 });
const header: ExportEntry = { kind: "header", network: new Uint8Array(32).fill(7) };
const entry: fc.Arbitrary<ExportEntry> = fc.oneof(
  content.map((blob): ExportEntry => ({ kind: "blob", content: blob })),
  content.map((note): ExportEntry => ({ kind: "note", note })),
  fc
    .tuple(content, fc.array(content, { minLength: 1, maxLength: 5 }))
    .map(([leaf, records]): ExportEntry => ({ kind: "batch", leaf, records })),
);

test("decoding what was encoded gives the same items", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (entries) => {
      const all = [header, ...entries];
      assert.deepEqual(await entriesOf(await bytesOf(all)), all);
    }),
    { numRuns: 50 },
  );
});

const malformed: readonly (readonly [string, readonly number[], string])[] = [
  ["nothing", [], "MALFORMED"],
  ["an empty item", [0], "MALFORMED"],
  ["an item without its end", [5, 10], "MALFORMED"],
  ["a length without its end", [0x80], "MALFORMED"],
  ["a padded length", [0x84, 0x00, 10, 2, 8, 1], "NOT_CANONICAL"],
  ["a length of 4 bytes above the limit", [0xff, 0xff, 0xff, 0x7f], "TOO_LARGE"],
  ["a length of 5 bytes", [0xff, 0xff, 0xff, 0xff, 0x01], "TOO_LARGE"],
  ["an unknown item", [3, 42, 1, 0], "NOT_CANONICAL"],
  ["a header of another version", [6, 10, 4, 8, 2, 18, 0], "NOT_CANONICAL"],
];

describe("a file is refused", () => {
  for (const [name, bytes, code] of malformed) {
    test(`that holds ${name}: ${code}`, async () => {
      await assert.rejects(entriesOf(Uint8Array.from(bytes)), { code, fields: { index: "0" } });
    });
  }
  test("that has no header, or two: MALFORMED", async () => {
    const note: ExportEntry = { kind: "note", note: Uint8Array.of(1) };
    await assert.rejects(entriesOf(await bytesOf([note])), { code: "MALFORMED" });
    await assert.rejects(entriesOf(await bytesOf([header, header])), { code: "MALFORMED" });
  });
});

describe("a changed export", () => {
  let audit: AuditLedger;
  let bytes: Uint8Array;
  let honest: ReplayResult;

  function replay(changed: Uint8Array): Promise<ReplayResult> {
    const { id: networkId, verifier } = audit.network;
    return replayLedger(decodeExport([changed]), { networkId, verifier, depth: "full", engine });
  }

  before(async () => {
    audit = await AuditLedger.create("flips");
    await audit.read();
    bytes = new Uint8Array(await audit.bytes());
    honest = await replay(bytes);
    assert.deepEqual(honest.findings, []);
  });

  test("in any one byte is found, and never throws", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: bytes.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, mask) => {
          const changed = bytes.slice();
          changed[at] = (changed[at] as number) ^ mask;
          const { findings } = await replay(changed);
          assert.notEqual(findings.length, 0, `byte ${at} xor ${mask} is not found`);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("in any bit of its newest note is found", async () => {
    const last = audit.entries.at(-1);
    assert.equal(last?.kind, "note");
    const noteBytes = last?.kind === "note" ? last.note.length : 0;
    for (let bit = 0; bit < noteBytes * 8; bit += 61) {
      const changed = bytes.slice();
      const at = bytes.length - noteBytes + (bit >> 3);
      changed[at] = (changed[at] as number) ^ (1 << (bit & 7));
      assert.notEqual((await replay(changed)).findings.length, 0);
    }
  });

  test("cut anywhere but behind a note is found", async () => {
    for (let end = 0; end < bytes.length; end += 211) {
      const { findings, size } = await replay(bytes.slice(0, end));
      assert.ok(findings.length > 0 || size < honest.size, `cut at ${end}`);
    }
  });

  test("of arbitrary bytes is a finding", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const { findings } = await replay(noise);
        assert.deepEqual(
          findings.map(({ code }) => code),
          ["EXPORT_MALFORMED"],
        );
      }),
      { numRuns: 100 },
    );
  });

  test("whose reader fails is no finding: the failure is passed on", async () => {
    const { id: networkId, verifier } = audit.network;
    const failing = async function* (): AsyncGenerator<ExportEntry> {
      yield* iterate(audit.entries.slice(0, 3));
      throw new Error("disk");
    };
    const options = { networkId, verifier, depth: "integrity" } as const;
    await assert.rejects(replayLedger(failing(), options), { message: "disk" });
  });
});
