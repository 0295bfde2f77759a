/**
 * A program that seals until it is killed: `sealing-main FOLDER CALLERS`.
 * It prints `<leaf hash>/<position> <record>` once a record is resolved, and never before.
 */
import { writeSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { parseUtf8, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { journalOptions } from "./support.ts";

const [folder, callers] = process.argv.slice(2) as [string, string];

async function sealForever(journal: Journal): Promise<never> {
  for (;;) {
    const text = randomUUID();
    const result = await journal.sealer.seal({
      kind: "evidence",
      record: utf8(text),
      decidedAtMs: Date.now(),
      states: [{ key: `sealed/${text}`, value: utf8(text) }],
    });
    if (result === undefined) throw new Error("dropped");
    const record = parseUtf8(result.record) as string;
    writeSync(1, `${toHex(result.leafHash)}/${result.position} ${record}\n`);
  }
}

try {
  const journal = await openJournal(journalOptions(folder));
  writeSync(1, "ready\n");
  await Promise.all(Array.from({ length: Number(callers) }, () => sealForever(journal)));
} catch (error) {
  writeSync(1, `refused ${error instanceof CausewayError ? error.code : String(error)}\n`);
  process.exit(1);
}
