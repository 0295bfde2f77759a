/** A gateway whose journal is an old copy seals nothing: its replica knows what the chain holds. */
import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import pino from "pino";
import { createGateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import { eventually } from "../support/admin-client.ts";
import { type Running, startTwoCities } from "../support/running.ts";

type Side = "provider" | "consumer";

function journalOf({ cities }: Running, side: Side): string {
  return join(cities[side].folder, "data", "journal.sqlite");
}

function batchesIn(journal: string): number {
  const reader = openSqliteJournalReader(journal);
  const count = reader.batchCount();
  reader.close();
  return count;
}

async function withStarted(configFile: string, run: () => Promise<void>): Promise<void> {
  const gateway = await createGateway(readConfig(configFile), {
    logger: pino({ level: "silent" }),
  });
  try {
    await gateway.start();
    assert.ok(gateway.notReady().includes("JOURNAL_ROLLED_BACK"));
    await run();
  } finally {
    await gateway.close();
  }
}

for (const side of ["provider", "consumer"] as const) {
  describe(`an old copy of the journal of the ${side}`, () => {
    for (const lost of ["the newest batches", "everything"] as const) {
      it(`that lacks ${lost} seals nothing, from the start on`, async () => {
        const running = await startTwoCities();
        const journal = journalOf(running, side);
        try {
          assert.equal((await running.client.getDivision("330106")).code, 0);
          await running.settled();
          await running.gateways[side].close();
          copyFileSync(journal, `${journal}.old`);
          const restart = await createGateway(readConfig(running.cities[side].configFile));
          await restart.start();
          await eventually("calls are answered again", async () => {
            return (await running.client.getDivision("330106")).code === 0;
          });
          await running.settled();
          await restart.close();
          for (const file of ["", "-wal", "-shm"]) rmSync(journal + file, { force: true });
          if (lost === "the newest batches") copyFileSync(`${journal}.old`, journal);
          const before = lost === "everything" ? 0 : batchesIn(journal);
          await withStarted(running.cities[side].configFile, async () => {
            await eventually("the call is refused", async () => {
              const answer = await running.client.getDivision("330106", { deadlineMs: 2_000 });
              assert.notEqual(answer.code, 0);
              return answer.reason === "JOURNAL_ROLLED_BACK";
            });
          });
          assert.equal(batchesIn(journal), before);
        } finally {
          await running.close();
        }
      });
    }
  });
}
