/**
 * Every way in which a history can be falsified, as a person meets it: `ledger verify` over an export and
 * over a gateway's HTTP ends with 4, names the first bad index, and says what it could not check.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { sha256 } from "../../src/base/sha256.ts";
import { encodeExportEntry, type ExportEntry } from "../../src/audit/export-file.ts";
import {
  type EquivocationReported,
  RecordSchema,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import type { AuditLedger } from "./audit-ledger.ts";
import { type ChangedLedger, changedLedger } from "./changing-ledger.ts";
import { serveEntries } from "./serve-entries.ts";
import { causeway } from "../cli/support.ts";

let changed: ChangedLedger;
let folder: string;

before(async () => {
  changed = await changedLedger("corruptions");
  folder = await mkdtemp(join(tmpdir(), "causeway-corruptions-"));
});

after(() => rm(folder, { recursive: true, force: true }));

interface Verified {
  readonly code: number;
  readonly stderr: string;
  /** `code address` of each finding. */
  readonly findings: readonly string[];
  readonly firstBadIndex: string;
  readonly notChecked: readonly string[];
}

async function ledgerVerify(argv: readonly string[], later?: Uint8Array): Promise<Verified> {
  const checkpoint = join(folder, "later.note");
  if (later !== undefined) writeFileSync(checkpoint, later);
  const { idHex } = changed.audit.network;
  const given = later === undefined ? [] : ["--checkpoint", checkpoint];
  const { code, stdout, stderr } = await causeway(
    ...["ledger", "verify", ...argv, "--network", idHex, "--output", "json", ...given],
  );
  const result = JSON.parse(stdout === "" ? "{}" : stdout) as {
    findings?: readonly { code: string; address: string }[];
    first_bad_index?: string;
    not_checked?: readonly string[];
  };
  return {
    code,
    stderr,
    findings: (result.findings ?? []).map((finding) => `${finding.code} ${finding.address}`),
    firstBadIndex: result.first_bad_index ?? "",
    notChecked: result.not_checked ?? [],
  };
}

function verifyFile(bytes: Uint8Array, later?: Uint8Array): Promise<Verified> {
  const file = join(folder, "ledger.export");
  writeFileSync(file, bytes);
  return ledgerVerify([file], later);
}

function bytesOf(entries: readonly ExportEntry[]): Uint8Array {
  return Buffer.concat(entries.map(encodeExportEntry));
}

/** Place of the batch with an index among the items. */
function placeOf(entries: readonly ExportEntry[], index: bigint): number {
  let seen = -1n;
  return entries.findIndex(({ kind }) => kind === "batch" && ++seen === index);
}

/** Place of the frozen note right behind that batch. */
function notePlaceOf(entries: readonly ExportEntry[], index: bigint): number {
  const place = placeOf(entries, index) + 1;
  assert.equal(entries[place]?.kind, "note");
  return place;
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const other = bytes.slice();
  other[at] = (other[at] as number) ^ 1;
  return other;
}

type Batch = Extract<ExportEntry, { kind: "batch" }>;

function changeBatch(
  entries: readonly ExportEntry[],
  index: bigint,
  change: (batch: Batch) => Batch,
): ExportEntry[] {
  const place = placeOf(entries, index);
  return entries.with(place, change(entries[place] as Batch));
}

function changeNote(
  entries: readonly ExportEntry[],
  index: bigint,
  change: (text: string) => string,
): ExportEntry[] {
  const place = notePlaceOf(entries, index);
  const entry = entries[place] as Extract<ExportEntry, { kind: "note" }>;
  const note = Buffer.from(change(Buffer.from(entry.note).toString("utf8")));
  return entries.with(place, { ...entry, note });
}

interface Kind {
  readonly name: string;
  /** What the corrupted items are; `later` goes with them on the command line. */
  readonly corrupt: () => Promise<{
    readonly entries: readonly ExportEntry[];
    readonly later?: Uint8Array;
  }>;
  /** Of the export. */
  readonly findings: () => readonly string[];
  readonly firstBadIndex: () => bigint;
  /** Of what a gateway serves, where that is another. */
  readonly served?: () => readonly string[];
  readonly exportOnly?: true;
  readonly notChecked?: readonly string[];
}

const size = (): bigint => changed.audit.ledger.size;
const whole = (): readonly ExportEntry[] => changed.audit.entries;

async function grown(seed: bigint): Promise<AuditLedger> {
  const other = changed.audit.fork();
  await other.seal(other.provider, [statusRecord(Number(seed))]);
  return other;
}

const kinds: readonly Kind[] = [
  {
    name: "truncation: leaves are gone that a later checkpoint covers",
    corrupt: async () => ({
      entries: whole().slice(0, notePlaceOf(whole(), size() - 2n) + 1),
      later: changed.audit.note(),
    }),
    findings: () => [`TRUNCATED ${size() - 1n}`],
    firstBadIndex: () => size() - 1n,
    notChecked: ["decisions"],
  },
  {
    name: "a restored old copy, from before the cities and the sequencer changed",
    corrupt: async () => ({
      entries: whole().slice(0, notePlaceOf(whole(), changed.admission - 1n) + 1),
      later: changed.audit.note(),
    }),
    // Two of the cities that cosigned speak with keys that the copy knows: the rest came later.
    findings: () => [`CHECKPOINT_REJECTED ${changed.admission}`],
    firstBadIndex: () => changed.admission,
    notChecked: ["checkpoint", "decisions"],
  },
  {
    name: "a restored old copy, from before the sequencer changed",
    corrupt: async () => ({
      entries: whole().slice(0, notePlaceOf(whole(), changed.witness) + 1),
      later: changed.audit.note(),
    }),
    findings: () => [`TRUNCATED ${changed.witness + 1n}`],
    firstBadIndex: () => changed.witness + 1n,
    notChecked: ["checkpoint", "decisions"],
  },
  {
    name: "fork: a quorum cosigned two histories",
    corrupt: async () => ({
      entries: (await grown(1n)).entries,
      later: (await grown(2n)).note(),
    }),
    findings: () => [`CHECKPOINT_FORK ${size()}`],
    firstBadIndex: size,
    notChecked: ["decisions"],
  },
  {
    name: "reorder: two batches in each other's place",
    corrupt: async () => {
      const [a, b] = [placeOf(whole(), size() - 2n), placeOf(whole(), size() - 1n)];
      const [first, second] = [whole()[a] as ExportEntry, whole()[b] as ExportEntry];
      return { entries: whole().with(a, second).with(b, first) };
    },
    findings: () => [`BATCH_REJECTED ${size() - 2n}`],
    firstBadIndex: () => size() - 2n,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "duplicate: a batch stands twice",
    corrupt: async () => {
      const place = placeOf(whole(), changed.term);
      return { entries: whole().toSpliced(place, 0, whole()[place] as ExportEntry) };
    },
    findings: () => [`BATCH_REJECTED ${changed.term + 1n}`],
    firstBadIndex: () => changed.term + 1n,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "a batch left out",
    corrupt: async () => ({ entries: whole().toSpliced(placeOf(whole(), changed.rotation), 1) }),
    findings: () => [`NOTE_MISPLACED ${changed.rotation}`],
    firstBadIndex: () => changed.rotation,
    // A gateway that lacks a leaf of its checkpoint has nothing to serve in its place.
    exportOnly: true,
    notChecked: ["rest", "freshness", "decisions"],
  },
  ...(["signature", "header", "record"] as const).map(
    (part): Kind => ({
      name: `edit: one bit of a ${part}`,
      corrupt: async () => ({
        entries: changeBatch(whole(), changed.exclusion, (batch) =>
          part === "record"
            ? {
                ...batch,
                records: batch.records.with(1, flipped(batch.records[1] as Uint8Array, 40)),
              }
            : { ...batch, leaf: flipped(batch.leaf, part === "signature" ? 9 : 120) },
        ),
      }),
      findings: () => [`BATCH_REJECTED ${changed.exclusion}`],
      firstBadIndex: () => changed.exclusion,
      notChecked: ["rest", "freshness", "decisions"],
    }),
  ),
  {
    name: "edit: a record that can no longer be decoded",
    corrupt: async () => ({
      entries: changeBatch(whole(), changed.exclusion, (batch) => ({
        ...batch,
        records: batch.records.with(1, new Uint8Array(40).fill(255)),
      })),
    }),
    findings: () => [`BATCH_REJECTED ${changed.exclusion}`],
    served: () => [`EXPORT_MALFORMED ${changed.exclusion}`],
    firstBadIndex: () => changed.exclusion,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "edit: a record is gone from its batch",
    corrupt: async () => ({
      entries: changeBatch(whole(), changed.exclusion, (batch) => ({
        ...batch,
        records: batch.records.slice(1),
      })),
    }),
    findings: () => [`BATCH_REJECTED ${changed.exclusion}`],
    firstBadIndex: () => changed.exclusion,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "edit: another root in a frozen note",
    corrupt: async () => ({
      entries: changeNote(whole(), changed.witness, (text) => {
        const lines = text.split("\n");
        const root = Buffer.from(lines[2] as string, "base64");
        return lines.with(2, Buffer.from(flipped(root, 3)).toString("base64")).join("\n");
      }),
    }),
    findings: () => [`NOTE_REJECTED ${changed.witness + 1n}`],
    firstBadIndex: () => changed.witness + 1n,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "edit: cosignatures taken out of a frozen note",
    corrupt: async () => ({
      entries: changeNote(whole(), changed.witness, (text) => {
        const lines = text.split("\n");
        return [...lines.slice(0, -3), ""].join("\n");
      }),
    }),
    findings: () => [`NOTE_REJECTED ${changed.witness + 1n}`],
    firstBadIndex: () => changed.witness + 1n,
    notChecked: ["rest", "freshness", "decisions"],
  },
  {
    name: "edit: a blob that a statement names",
    corrupt: async () => ({
      entries: whole().map((entry) =>
        entry.kind === "blob" ? { ...entry, content: flipped(entry.content, 5) } : entry,
      ),
    }),
    findings: () => ["BLOB_MISSING 1/0"],
    firstBadIndex: () => 1n,
    exportOnly: true,
    notChecked: ["freshness", "decisions"],
  },
  {
    name: "a diverging registry: the gateway's fold is not that of these leaves",
    corrupt: async () => ({
      entries: whole().map((entry, i) =>
        entry.kind === "note" && i >= notePlaceOf(whole(), changed.rotation)
          ? { ...entry, digest: sha256(entry.note) }
          : entry,
      ),
    }),
    findings: () => [`DIGEST_DIVERGES ${changed.rotation}`],
    firstBadIndex: () => changed.rotation,
    notChecked: ["freshness", "decisions"],
  },
  {
    name: "equivocation: a gateway signed two leaves for one place in one start",
    corrupt: () => contradicted({}),
    findings: () => [`EQUIVOCATION ${size() + 1n}/0`],
    firstBadIndex: () => size() + 1n,
    notChecked: ["freshness", "decisions"],
  },
  {
    name: "rollback: a restored copy sealed again at a place of its chain",
    corrupt: () => contradicted({ boot: new Uint8Array(16).fill(7) }),
    findings: () => [`ROLLBACK ${size() + 1n}/0`],
    firstBadIndex: () => size() + 1n,
    notChecked: ["freshness", "decisions"],
  },
  {
    name: "a sequencer that signed two trees of one size",
    corrupt: async () => {
      const audit = changed.audit.fork();
      const firstNote = audit.note();
      const secondNote = audit.note({ root: sha256(firstNote) });
      await audit.govern(audit.provider, [report("checkpoints", { firstNote, secondNote })]);
      return { entries: audit.entries };
    },
    findings: () => [`LOG_FORK ${size()}/0`],
    firstBadIndex: size,
    notChecked: ["freshness", "decisions"],
  },
];

/** The contradiction is reported on the ledger, by another gateway. */
async function contradicted(change: {
  readonly boot?: Uint8Array;
}): Promise<{ readonly entries: readonly ExportEntry[] }> {
  const audit = changed.audit.fork();
  const { consumer, provider } = audit;
  const other = audit.ledger.seal(consumer, [statusRecord(5)], { kind: "evidence", ...change });
  const { batch } = await audit.seal(consumer, [statusRecord(6)]);
  const pair = { firstLeaf: batch.leaf, secondLeaf: other.leaf };
  await audit.govern(provider, [report("headers", pair)]);
  return { entries: audit.entries };
}

function report(
  kind: "headers" | "checkpoints",
  value: Readonly<Record<string, Uint8Array>>,
): Uint8Array {
  const proof = { case: kind, value } as unknown as EquivocationReported["proof"];
  return encodeRecord(
    create(RecordSchema, { body: { case: "equivocationReported", value: { proof } } }),
  );
}

describe("ledger verify over an export", () => {
  test("of the honest history ends with 0", async () => {
    const { code, findings, stderr } = await verifyFile(bytesOf(whole()), changed.audit.note());
    assert.deepEqual(findings, [], stderr);
    assert.equal(code, 0);
  });

  for (const { name, corrupt, findings, firstBadIndex, notChecked } of kinds) {
    test(name, async () => {
      const { entries, later } = await corrupt();
      const verified = await verifyFile(bytesOf(entries), later);
      assert.equal(verified.code, 4, verified.stderr);
      assert.deepEqual(verified.findings.slice(0, 1), findings());
      assert.equal(verified.firstBadIndex, String(firstBadIndex()));
      assert.match(verified.stderr, new RegExp(`first bad index is ${firstBadIndex()}\\b`));
      if (notChecked !== undefined) assert.deepEqual(verified.notChecked, notChecked);
    });
  }
});

describe("ledger verify over a gateway's HTTP", () => {
  test("of the honest history ends with 0", async () => {
    const { from, close } = await serveEntries(whole());
    const { code, findings, stderr } = await ledgerVerify(["--from", from]);
    await close();
    assert.deepEqual(findings, [], stderr);
    assert.equal(code, 0);
  });

  for (const { name, corrupt, findings, firstBadIndex, exportOnly, served } of kinds) {
    if (exportOnly === true) continue;
    test(name, async () => {
      const { entries, later } = await corrupt();
      const { from, close } = await serveEntries(entries);
      const verified = await ledgerVerify(["--from", from], later);
      await close();
      assert.equal(verified.code, 4, verified.stderr);
      assert.deepEqual(verified.findings.slice(0, 1), (served ?? findings)());
      assert.equal(verified.firstBadIndex, String(firstBadIndex()));
    });
  }
});
