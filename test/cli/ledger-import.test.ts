/** Replicas filled from exports: the same as those that follow, whatever interrupts them. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { feedReplica, withReplica } from "../../gateway/cli/replica-feed.ts";
import { toHex } from "../../src/base/bytes.ts";
import { encodeExport, type ExportEntry } from "../../src/audit/export-file.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { run, ServedLedger } from "./served-ledger.ts";
import { assertRefused } from "./support.ts";

const served = new ServedLedger("import");
let number = 0;
const newFolder = (): string => served.at(`data-${number++}`);

async function writeExportOf(name: string, entries: readonly ExportEntry[]): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of encodeExport(entries)) parts.push(part);
  const file = served.at(name);
  writeFileSync(file, Buffer.concat(parts));
  return file;
}

const importing = (file: string, data: string): string[] => [
  ...["ledger", "import", file, "--founding", served.founding, "--data", data],
  ...["--output", "ndjson"],
];

/** All that a replica's store says of its ledger. */
function contentsOf(data: string): unknown {
  const store = new SqliteLedgerStore(join(data, "ledger.sqlite"));
  try {
    const { reader } = store;
    const size = reader.size();
    const notes: string[] = [];
    for (
      let note = reader.frozenAfter(0n);
      note !== undefined;
      note = reader.frozenAfter(note.size)
    ) {
      notes.push(toHex(note.note));
    }
    const batches = reader.batches({ from: 0n, countMax: 10_000, bytesMax: 1 << 30 });
    return {
      size,
      notes,
      network: toHex(reader.network() as Uint8Array),
      batches: batches.map(({ leafHash, body }) => [toHex(leafHash), toHex(body)]),
      digests: batches.map(({ index }) => toHex(reader.registryDigest(index) as Uint8Array)),
      faults: reader.faults(),
    };
  } finally {
    store.close();
  }
}

describe("an import", () => {
  let file: string;
  let entries: readonly ExportEntry[];
  before(async () => {
    entries = [...served.audit.entries];
    file = await writeExportOf("all.export", entries);
  });

  test("fills an empty folder to the size, root and digest of the ledger", async () => {
    const data = newFolder();
    const { code, rows, stderr } = await run(importing(file, data));
    assert.equal(code, 0, stderr);
    const final = served.replica.final();
    const size = String(served.replica.state().size);
    assert.deepEqual(rows, [
      {
        data,
        size,
        imported: size,
        final_size: size,
        final_root: toHex(final?.root as Uint8Array),
        registry_digest: toHex(served.replica.state().digest),
      },
    ]);
  });
  test("may name the network by its id alone", async () => {
    const data = newFolder();
    const argv = ["ledger", "import", file, "--network", served.audit.network.idHex];
    assert.equal((await run([...argv, "--data", data])).code, 0);
    assert.deepEqual(contentsOf(data), contentsOf(await followed()));
  });
  test("again changes nothing", async () => {
    const data = newFolder();
    await run(importing(file, data));
    const before0 = contentsOf(data);
    const { code, rows } = await run(importing(file, data));
    assert.equal(code, 0);
    assert.equal(rows[0]?.["imported"], "0");
    assert.deepEqual(contentsOf(data), before0);
  });
  test("that was interrupted at any item, then done, then followed, is as if all was followed", async () => {
    const expected = contentsOf(await followed());
    const network = readLedgerNetwork(served.audit.network.payload);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: entries.length }),
        fc.integer({ min: 1, max: entries.length }),
        async (stored, exported) => {
          const data = newFolder();
          const clock = { nowMs: Date.now, monotonicMs: () => 0 };
          const part = entries.slice(0, Math.min(stored, exported));
          await withReplica({ data, network, clock }, (replica) =>
            feedReplica(replica, items(part)),
          );
          const whole = entries.slice(0, exported);
          const last = whole.findLastIndex(({ kind }) => kind === "note");
          if (last > 0) {
            const cut = await writeExportOf("cut.export", whole.slice(0, last + 1));
            const { code, stderr } = await run(importing(cut, data));
            assert.equal(code, 0, stderr);
          }
          await follow(data);
          assert.deepEqual(contentsOf(data), expected);
        },
      ),
      { numRuns: 15 },
    );
  });
  test("of an export with a finding is refused, and nothing is made", async () => {
    const bytes = readFileSync(file);
    const [batch] = entries
      .flatMap((entry) => (entry.kind === "batch" ? [entry.leaf] : []))
      .slice(3);
    const at = bytes.indexOf(Buffer.from(batch as Uint8Array)) + 5;
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(served.at("changed.export"), bytes);
    const data = newFolder();
    const ran = await run(importing(served.at("changed.export"), data));
    assertRefused(ran, "FINDINGS", 4);
    assert.equal(ran.rows[0]?.["code"], "BATCH_REJECTED");
    assert.match(ran.stderr, /the first bad index is 3\b/);
    assert.equal(existsSync(data), false);
  });
  test("into a folder with another history is LEDGER_FORK at the first index that differs", async () => {
    const data = newFolder();
    const other = served.audit.fork();
    const size = other.ledger.size;
    await other.seal(other.provider, [other.receipt(other.call())]);
    const longer = await writeExportOf("longer.export", other.entries);
    assert.equal((await run(importing(longer, data))).code, 0);
    const another = served.audit.fork();
    await another.seal(another.provider, [
      another.receipt(another.call()),
      another.receipt(another.call()),
    ]);
    const ran = await run(importing(await writeExportOf("fork.export", another.entries), data));
    assertRefused(ran, "LEDGER_FORK", 4);
    assert.match(ran.stderr, new RegExp(`another batch at ${size}\\b`));
  });
  test("into a folder that holds a journal alone is FOLDER_NOT_EMPTY", async () => {
    const data = newFolder();
    mkdirSync(data);
    writeFileSync(join(data, "journal.sqlite"), "");
    assertRefused(await run(importing(file, data)), "FOLDER_NOT_EMPTY", 1);
  });
  test("of another network is refused", async () => {
    const argv = ["ledger", "import", file, "--network", "ab".repeat(32), "--data", newFolder()];
    assertRefused(await run(argv), "FINDINGS", 4);
  });
  test("shows rate and time left with --progress, and nothing without", async () => {
    let nowMs = 0;
    const clock = { nowMs: Date.now, monotonicMs: () => (nowMs += 400) };
    const quiet = await run(importing(file, newFolder()), { clock });
    assert.equal(quiet.stderr, "");
    const told = await run([...importing(file, newFolder()), "--progress"], { clock });
    assert.match(told.stderr, /^\d+ of \d+ KiB verified, [\d.]+\/s, 0 s left$/m);
    assert.match(told.stderr, /^\d+ of \d+ batches, [\d.]+\/s/m);
  });
});

async function* items(list: readonly ExportEntry[]): AsyncGenerator<ExportEntry> {
  yield* list;
}

async function followed(): Promise<string> {
  const data = newFolder();
  await follow(data);
  return data;
}

async function follow(data: string): Promise<void> {
  const argv = ["ledger", "follow", "--from", served.from, "--founding", served.founding];
  const { code, stderr } = await run([...argv, "--data", data, "--once"]);
  assert.equal(code, 0, stderr);
}
