/** A gateway whose journal is lost gets it back from the ledger, and goes on in a new epoch. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createGateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { sealEpoch } from "../../gateway/recover-epoch.ts";
import { peersAbove, type RecoveredJournal, recoverJournal } from "../../gateway/recover.ts";
import { toHex } from "../../src/base/bytes.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import { eventually } from "../support/admin-client.ts";
import { signEpoch } from "../support/epochs.ts";
import { type Running, startTwoCities } from "../support/running.ts";

const waitMs = 20_000;
const bounds = { heartbeat_s: 1 };

/** The agency's authority signs the statement of the new epoch. */
function signed({ cities }: Running, { epoch }: RecoveredJournal): readonly string[] {
  assert.ok(epoch !== undefined, "a new epoch is asked for");
  return signEpoch(cities, cities.consumer, epoch);
}

function removeJournal(journal: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(journal + suffix, { force: true });
}

async function withLost(
  damage: (journal: string) => void,
  run: (running: Running, journal: string) => Promise<void>,
): Promise<void> {
  const running = await startTwoCities({ bounds });
  try {
    assert.equal((await running.client.getDivision("330106")).code, 0);
    await running.settled();
    await running.gateways.consumer.close();
    const journal = join(running.cities.consumer.folder, "data", "journal.sqlite");
    damage(journal);
    await run(running, journal);
  } finally {
    await running.close();
  }
}

describe("ledger recover", () => {
  for (const [what, damage] of [
    ["lost", removeJournal],
    ["damaged", (journal: string) => writeFileSync(journal, "no database at all ".repeat(500))],
  ] as const) {
    it(`writes a ${what} journal again, and calls are answered in the new epoch`, async () => {
      await withLost(damage, async (running, journal) => {
        const config = readConfig(running.cities.consumer.configFile);
        const recovered = await recoverJournal({ config, waitMs });
        assert.equal(recovered.kind, "rebuilt");
        assert.equal(recovered.isFinal, true);
        assert.deepEqual(peersAbove(recovered), []);
        assert.deepEqual(
          recovered.peers.map(({ shown }) => toHex(shown?.leafHash as Uint8Array)),
          [toHex(recovered.tip?.leafHash as Uint8Array)],
        );
        assert.equal(existsSync(`${journal}.replaced-1`), what === "damaged");
        const reader = openSqliteJournalReader(journal);
        assert.equal(BigInt(reader.batchCount()), (recovered.tip?.seq ?? 0n) + 1n);
        assert.equal(reader.finalCount(), reader.batchCount());
        assert.ok(reader.states("consumer/closed/").length > 0, "closed attempts are known");
        reader.close();

        const waiting = await createGateway(config);
        await waiting.start();
        assert.ok(waiting.notReady().includes("JOURNAL_ROLLED_BACK"));
        await waiting.close();

        const again = await recoverJournal({ config, waitMs });
        assert.deepEqual([again.kind, again.replaced], ["rebuilt", undefined]);
        assert.deepEqual(again.epoch?.last, recovered.epoch?.last);

        const jws = signed(running, again);
        const sealed = await sealEpoch(jws, { config, waitMs });
        assert.equal(sealed.epoch, 1n);
        assert.deepEqual(await sealEpoch(jws, { config, waitMs }), sealed);
        assert.equal((await recoverJournal({ config, waitMs })).kind, "whole");

        const gateway = await createGateway(config);
        await gateway.start();
        try {
          await eventually("calls are answered again", async () => {
            return (await running.client.getDivision("330106")).code === 0;
          });
          await running.settled();
          assert.deepEqual(gateway.notReady(), []);
        } finally {
          await gateway.close();
        }
        const after = openSqliteJournalReader(journal);
        assert.equal(after.tip()?.epoch, 1n);
        assert.equal(after.finalCount(), after.batchCount());
        after.close();
        assert.deepEqual(
          readdirSync(join(running.cities.consumer.folder, "data")).filter((name) =>
            name.includes("rebuilt"),
          ),
          [],
        );
      });
    });
  }

  for (const [point, batches] of [
    ["before its commit", 0],
    ["after its commit", 1],
  ] as const) {
    it(`that is killed at the new epoch's first batch, ${point}, is ended by another run`, async () => {
      await withLost(removeJournal, async (running, journal) => {
        const { configFile, folder } = running.cities.consumer;
        const config = readConfig(configFile);
        const recovered = await recoverJournal({ config, waitMs });
        const jws = signed(running, recovered);
        const statements = join(folder, "epoch-signatures.json");
        writeFileSync(statements, JSON.stringify(jws));
        await killedAt(configFile, statements, point);
        const before = openSqliteJournalReader(journal);
        const known = Number(recovered.tip?.seq) + 1;
        assert.equal(before.batchCount(), known + batches);
        const first = before.batch(known)?.leafHash;
        before.close();
        const { leafHash } = await sealEpoch(jws, { config, waitMs });
        if (first !== undefined) assert.equal(toHex(leafHash), toHex(first));
        const after = openSqliteJournalReader(journal);
        assert.equal(after.batchCount(), known + 1);
        after.close();
      });
    });
  }
});

const script = fileURLToPath(new URL("recover-main.js", import.meta.url));

async function killedAt(config: string, statements: string, point: string): Promise<void> {
  const wasmFlag = "--no-turbo-inline-js-wasm-calls";
  const child = spawn(process.execPath, [wasmFlag, script, config, statements, point], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
    if (said.includes("standing")) child.kill("SIGKILL");
  });
  await once(child, "close");
  assert.equal(said, "standing\n");
}
