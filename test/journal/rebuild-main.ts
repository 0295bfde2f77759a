/**
 * Writes the journal of a test again and stops at a step: `rebuild-main FOLDER STEP`. It prints
 * `standing STEP` there and waits until it is killed; with the step `none` it prints `done`.
 */
import { renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { lockJournal } from "../../src/ledger/journal/sqlite-open.ts";
import { rebuildJournal } from "../../src/ledger/journal/sqlite-rebuild.ts";
import { chainOf, rebuiltIdentity } from "./rebuilt-chain.ts";

const [, , folder, step] = process.argv as [string, string, string, string];

function standAt(name: string): void {
  if (name !== step) return;
  writeSync(1, `standing ${name}\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const path = join(folder, "journal.db");
const lock = lockJournal(path);
let renames = 0;
rebuildJournal({
  path,
  identity: rebuiltIdentity,
  verifier: createNodeVerifier(),
  batches: (function* batches() {
    for (const [i, batch] of chainOf(join(folder, "ledger.db")).entries()) {
      if (i === 1) standAt("while it is written");
      yield batch;
    }
    standAt("before its last transaction");
  })(),
  awaitedEpoch: 1n,
  rename: (from, to) => {
    standAt(`before move ${renames}`);
    renameSync(from, to);
    standAt(`after move ${renames++}`);
  },
});
lock.close();
writeSync(1, "done\n");
