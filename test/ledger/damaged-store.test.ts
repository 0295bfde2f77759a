/** A replica's own store that was cut, edited or put back is noticed at the next start, and named. */
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import Database from "better-sqlite3";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { TwoCities } from "./support.ts";

/** A follower that has held three final batches, stopped. */
async function stopped(t: test.TestContext): Promise<TwoCities> {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  for (let i = 0; i < 2; i++) {
    const { batch } = await cities.ledger.appendEvidence(cities.network.provider.gateway);
    await cities.hangzhou.running.engine.submit(batch);
  }
  await cities.finalAtBoth(3n);
  await cities.shenzhen.stop();
  return cities;
}

function edit({ shenzhen }: TwoCities, sql: string): void {
  const db = new Database(join(shenzhen.folder, ledgerFile));
  db.exec(sql);
  db.close();
}

const damages: readonly {
  readonly what: string;
  readonly sql: string;
  readonly message: RegExp;
}[] = [
  {
    what: "whose last batch is gone",
    sql: "DELETE FROM leaves WHERE leaf_index = 2",
    message: /ends before batch 2, and held 3 batches/,
  },
  {
    what: "that is empty but for what was final",
    sql: "DELETE FROM leaves; DELETE FROM nodes",
    message: /ends before batch 0, and held 3 batches/,
  },
  {
    what: "with a changed record",
    sql: "UPDATE leaves SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB) WHERE leaf_index = 1",
    message: /stored batch 1 is not accepted/,
  },
  {
    what: "with a changed leaf",
    sql: "UPDATE leaves SET leaf = CAST(x'00' || substr(leaf, 2) AS BLOB) WHERE leaf_index = 1",
    message: /stored batch 1 is not accepted/,
  },
  {
    what: "with a changed leaf hash",
    sql: "UPDATE leaves SET leaf_hash = randomblob(32) WHERE leaf_index = 2",
    message: /batch 2 is stored under another leaf hash/,
  },
  {
    what: "with a changed node of the tree",
    sql: "UPDATE nodes SET hash = randomblob(32) WHERE level = 0 AND node_index = 2",
    message: /the first 3 batches is not the one that was signed/,
  },
];

for (const { what, sql, message } of damages) {
  test(`a store ${what} is refused with its place`, async (t) => {
    const cities = await stopped(t);
    edit(cities, sql);
    await assert.rejects(cities.startFollower(), { code: "STORAGE_FAILED", message });
  });
}
