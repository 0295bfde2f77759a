/** Joining a network whose cities and sequencer are no longer those of its founding document. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type JoinedNetwork, joinNetwork } from "../../gateway/cli/network-join.ts";
import { writeStatementFile } from "../../gateway/statement-file.ts";
import { parseUtf8 } from "../../src/base/bytes.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { openRecord } from "../../src/record/record.ts";
import { type ChangedLedger, changedLedger } from "./changing-ledger.ts";
import { serveEntries } from "./serve-entries.ts";

let changed: ChangedLedger;
let folder: string;

before(async () => {
  changed = await changedLedger("joining");
  folder = await mkdtemp(join(tmpdir(), "causeway-joining-"));
  const { network } = changed.audit;
  const { body } = openRecord(network.founding[0] as Uint8Array);
  if (body.case !== "statement") throw new TypeError("batch 0 founds no network");
  const payload = parseUtf8(network.payload) as string;
  writeStatementFile(join(folder, "founding.json"), {
    typ: "causeway-network+jwt",
    payload,
    jws: body.value.jws,
  });
});

after(() => rm(folder, { recursive: true, force: true }));

async function joinAt(
  name: string,
  entries: readonly ExportEntry[],
  checkpoint?: Uint8Array,
): Promise<JoinedNetwork> {
  const { from, close } = await serveEntries(entries, checkpoint);
  const { nowMs } = changed.audit.ledger;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const files = { founding: join(folder, "founding.json"), data: join(folder, name) };
  try {
    return await joinNetwork({ ...files, bootstrap: from }, { clock });
  } finally {
    await close();
  }
}

describe("joining a network that has changed", () => {
  test("learns from its ledger who cosigns now", async () => {
    const { audit } = changed;
    const joined = await joinAt("joined", audit.entries);
    assert.equal(joined.finalSize, audit.ledger.size);
    assert.ok(existsSync(join(folder, "joined", "ledger.sqlite")));
  });

  test("is refused where too few of the cities of now have cosigned", async () => {
    const { audit } = changed;
    const checkpoint = audit.note({ cosigners: audit.cosigners.slice(0, 2) });
    await assert.rejects(joinAt("few", audit.entries, checkpoint), { code: "QUORUM_NOT_MET" });
    assert.ok(!existsSync(join(folder, "few")));
  });

  test("is refused where the ledger is broken on the way, naming the index", async () => {
    const { audit, rotation } = changed;
    let index = -1n;
    const entries = audit.entries.map((entry): ExportEntry => {
      if (entry.kind !== "batch" || ++index !== rotation) return entry;
      const records = entry.records.map((record) => record.slice());
      (records[0] as Uint8Array)[50] = 0;
      return { ...entry, records };
    });
    await assert.rejects(joinAt("broken", entries), { fields: { index: String(rotation) } });
    assert.ok(!existsSync(join(folder, "broken")));
  });
});
