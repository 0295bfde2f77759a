/** A gateway whose journal is lost gets it back from the ledger, and goes on in a new epoch. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createGateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { sealEpoch } from "../../gateway/recover-epoch.ts";
import { peersAbove, type RecoveredJournal, recoverJournal } from "../../gateway/recover.ts";
import { systemClock, systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { toHex } from "../../src/base/bytes.ts";
import { erasedNumber, erasedStateKey } from "../../src/exchange/erased-openings.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { eventually } from "../support/admin-client.ts";
import { signEpoch } from "../support/epochs.ts";
import { statusRecord } from "../support/ledger.ts";
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
    assert.equal(await running.consumer.eraseOpenings(Date.now() + 60_000), 1n);
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
        const [closed] = reader.states("consumer/closed/");
        assert.equal(closed?.value.length, 8, "closed attempts are known, and since when");
        assert.equal(erasedNumber(reader.state(erasedStateKey)), 1);
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
          const records = await running.consumer.records();
          assert.equal(records.filter(({ kind }) => kind === "openingsErased").length, 1);
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

/** Seals one batch more in a journal that no gateway has open. */
async function sealOne(journal: string, { cities }: Running): Promise<void> {
  const reader = openSqliteJournalReader(journal);
  const tip = reader.tip();
  assert.ok(tip !== undefined);
  const { seenSize: size, seenRoot: root } = openLeaf(tip.leaf).header;
  reader.close();
  const { gateway } = cities.consumer;
  const opened = await openJournal({
    path: journal,
    gateway: gateway.card.id,
    network: Buffer.from(cities.networkId, "hex"),
    batchKeySeed: gateway.batch.seed,
    boot: systemRandom(16),
    clock: systemClock,
    scheduler: systemScheduler,
    seen: () => ({ size, root }),
    queueBytesMax: 1 << 20,
    onFatal: assert.ifError,
  });
  const decidedAtMs = systemClock.nowMs();
  await opened.sealer.seal({ kind: "evidence", record: statusRecord(), decidedAtMs, states: [] });
  await opened.close();
}

describe("ledger recover, when a batch that was lost comes to the ledger late", () => {
  it("begins another epoch than the one that its journal has begun already", async () => {
    await withLost(
      () => undefined,
      async (running, journal) => {
        const config = readConfig(running.cities.consumer.configFile);
        await sealOne(journal, running);
        const late = `${journal}.late`;
        copyFileSync(journal, late);
        removeJournal(journal);
        const lost = await recoverJournal({ config, waitMs });
        assert.equal(lost.epoch?.epoch, 1);
        await sealEpoch(signed(running, lost), { config, waitMs });
        const begun = `${journal}.begun`;
        copyFileSync(journal, begun);

        // Whoever holds it hands it in.
        copyFileSync(late, journal);
        const told = await recoverJournal({ config, waitMs });
        assert.deepEqual([told.kind, told.submitted], ["whole", 1]);
        removeJournal(journal);
        copyFileSync(begun, journal);
        const recovered = await recoverJournal({ config, waitMs });
        assert.equal(recovered.kind, "rebuilt");
        assert.equal(recovered.tip?.index, told.tip?.index);
        assert.equal(recovered.epoch?.epoch, 2);

        // Its city's witness makes the late batch final; the gateway itself seals nothing.
        const waiting = await createGateway(config);
        await waiting.start();
        await eventually("the late batch is final", async () => {
          const { finalSize } = await running.provider.status();
          return finalSize > (told.tip?.index ?? 0n);
        });
        await waiting.close();
        const again = await recoverJournal({ config, waitMs });
        assert.equal(again.epoch?.epoch, 2);
        const sealed = await sealEpoch(signed(running, again), { config, waitMs });
        assert.equal(sealed.epoch, 2n);
      },
    );
  });
});

describe("the statement of a new epoch", () => {
  it("that the ledger would refuse for its age is refused before anything is sealed", async () => {
    await withLost(removeJournal, async (running, journal) => {
      const config = readConfig(running.cities.consumer.configFile);
      const { epoch } = await recoverJournal({ config, waitMs });
      assert.ok(epoch !== undefined);
      const { cities } = running;
      const weekMs = 7 * 24 * 3600 * 1000;
      const old = signEpoch(cities, cities.consumer, epoch, Date.now() - weekMs - 2000);
      await assert.rejects(sealEpoch(old, { config, waitMs }), { code: "STALE" });
      const reader = openSqliteJournalReader(journal);
      assert.equal(reader.tip()?.epoch, 0n);
      reader.close();
    });
  });
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
