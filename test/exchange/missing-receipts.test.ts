import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { systemScheduler } from "../../gateway/runtime.ts";
import { HeldLeaves } from "../../src/exchange/held-leaves.ts";
import { MissingReceipts } from "../../src/exchange/missing-receipts.ts";
import { openHeld } from "../../src/ledger/held/held.ts";
import type { SealedRecord } from "../../src/ledger/ports.ts";
import { proveRecord } from "../../src/record/proof.ts";
import { openRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";

describe("what a provider showed and did not put on the ledger", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-"));
  let close: () => Promise<void> = async () => undefined;
  after(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  it("is reported once each, also what is shown when its leaf is overdue already", async () => {
    const network = createTestNetwork();
    const ledger = new TestLedger(network);
    const { provider, consumer } = network;
    const withheld = ledger.seal(provider.gateway, [statusRecord(1), statusRecord(2)], {
      kind: "evidence",
    });
    const leaves = new HeldLeaves({ leafAt: () => undefined, inclusionBoundMs: () => 60_000 });
    const states = new Set<string>();
    const positions: number[] = [];
    const store = await openHeld({
      path: join(folder, "held.sqlite"),
      scheduler: systemScheduler,
      onFailed: (error) => assert.fail(String(error)),
    });
    close = () => store.close();
    const missing = new MissingReceipts({
      leaves,
      store,
      sealer: {
        seal: ({ record, states: changes }) => {
          const { body } = openRecord(record);
          assert.ok(body.case === "receiptMissing");
          positions.push(body.value.position);
          for (const { key } of changes) states.add(key);
          return Promise.resolve({ record } as SealedRecord);
        },
      },
      clock: { nowMs: () => 0 },
      hasState: (key) => states.has(key),
      onForked: () => assert.fail(),
      onFailure: (error) => assert.fail(String(error)),
    });
    const show = (position: number): void => {
      const { leaf, path } = proveRecord(withheld, position);
      const record = withheld.records[position] as Uint8Array;
      missing.add({ leaf, path, position, record });
    };
    const final = (timeMs: number): void => {
      leaves.onFinal({ size: 1n, timeMs });
      missing.onFinal();
    };
    // What comes while something is being reported waits for the next final checkpoint.
    const reported = (count: number): Promise<void> =>
      eventually("what is overdue is reported", () => {
        missing.onFinal();
        return positions.length >= count;
      });
    const { header } = ledger.seal(consumer.gateway, [statusRecord(3)], { kind: "evidence" });
    const startMs = Number(withheld.header.sealedAt);
    show(0);
    leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: BigInt(startMs + 1) } });
    final(startMs + 2000);
    assert.deepEqual(positions, []);
    final(startMs + 70_000);
    await reported(1);
    assert.deepEqual(positions, [0]);
    show(1);
    final(startMs + 80_000);
    await reported(2);
    final(startMs + 90_000);
    assert.deepEqual(positions, [0, 1]);
  });
});
