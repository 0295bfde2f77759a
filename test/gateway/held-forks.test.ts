/** A held leaf that the ledger contradicts: reported at any final checkpoint, and let go only then. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { reportEquivocations, reportedKey } from "../../gateway/equivocations.ts";
import { HeldForks } from "../../gateway/held-forks.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { HeldLeaves } from "../../src/exchange/held-leaves.ts";
import { MissingReceipts } from "../../src/exchange/missing-receipts.ts";
import { type HeldRecords, openHeld } from "../../src/ledger/held/held.ts";
import type {
  FinalCheckpoint,
  IncludedBatch,
  SealedRecord,
  Sealer,
} from "../../src/ledger/ports.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { openRecord } from "../../src/record/record.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";

describe("a held leaf that the ledger contradicts", () => {
  const network = createTestNetwork();
  const ledger = new TestLedger(network);
  const { gateway } = network.provider;
  const seal = (openAttempts: number): CreatedBatch =>
    ledger.seal(gateway, [statusRecord(openAttempts)], { kind: "evidence" });
  /** Two batches for one place: what came in-band, and what the ledger has. */
  const [held, stands] = [seal(1), seal(2)];
  const { epoch, seq } = held.header;
  const place = { gateway: held.header.gateway, epoch, seq };
  let folder: string;
  let store: HeldRecords;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-"));
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  const open = (): Promise<HeldRecords> =>
    openHeld({
      path: join(folder, "held.sqlite"),
      scheduler: systemScheduler,
      onFailed: (error) => assert.fail(error),
    });

  /** One start of a gateway, as far as it holds leaves and reports what contradicts them. */
  class Start {
    readonly states = new Map<string, Uint8Array>();
    readonly reports: string[] = [];
    isSealing = true;
    included = false;
    frozen: { readonly index: bigint; readonly position: number } | undefined;
    readonly #onFinal: ((final: FinalCheckpoint) => void)[] = [];
    readonly held: MissingReceipts;
    readonly #leaves: HeldLeaves;
    size = 5n;

    constructor() {
      const journal = { state: (key: string) => this.states.get(key) };
      const sealer: Sealer = {
        seal: ({ record, states }) => {
          if (!this.isSealing) return Promise.reject(new CausewayError("CLOCK_OFF", "not now"));
          this.reports.push(String(openRecord(record).body.case));
          for (const { key, value } of states) this.states.set(key, value ?? new Uint8Array());
          return Promise.resolve({ record } as SealedRecord);
        },
      };
      const atPlace = (): { index: bigint; leafHash: Uint8Array } | undefined =>
        this.included ? { index: 4n, leafHash: stands.leafHash } : undefined;
      const leaves = new HeldLeaves({ leafAt: atPlace, inclusionBoundMs: () => 60_000 });
      this.#leaves = leaves;
      const replica = {
        state: () => ({
          chains: new Map([[place.gateway, { epoch }]]),
          chainStops: new Map([[place.gateway, { frozen: this.frozen, endings: [] }]]),
        }),
        final: () => ({ size: this.size, timeMs: 0 }),
        onFinal: (listener: (final: FinalCheckpoint) => void) => {
          this.#onFinal.push(listener);
          return () => undefined;
        },
        batch: () => ({ leaf: stands.leaf }),
        reader: { forkedLeaf: () => undefined, atPlace },
      };
      const forks = new HeldForks({
        replica: replica as never,
        journal,
        forget: (leafHash) => this.held.forget(leafHash),
      });
      this.held = new MissingReceipts({
        leaves,
        store,
        sealer,
        clock: { nowMs: () => 0 },
        hasState: (key) => this.states.has(key),
        onForked: (leaf) => forks.add(leaf),
        onFailure: assert.fail,
      });
      replica.onFinal((final) => {
        leaves.onFinal(final);
        forks.settle();
        this.held.onFinal();
      });
      reportEquivocations({
        replica: replica as never,
        journal,
        sealer,
        clock: { nowMs: () => 0, monotonicMs: () => 0 },
        heldFork: (id) => forks.leafOf(id),
        onFailure: () => undefined,
      });
    }

    include(): void {
      this.included = true;
      this.#leaves.onIncluded({ index: 4n, header: stands.header } as IncludedBatch);
    }

    /** A newest final checkpoint, of a larger size or a heartbeat. */
    async final(): Promise<void> {
      for (const listener of this.#onFinal)
        listener({ size: this.size, timeMs: 1 } as FinalCheckpoint);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async function isHeld(): Promise<boolean> {
    return (await store.leaves()).length > 0;
  }

  function add(start: Start): void {
    const [record, path] = [held.records[0], held.paths[0]];
    assert.ok(record !== undefined && path !== undefined);
    start.held.add({ record, position: 0, path, leaf: held.leaf });
  }

  it("is reported at a heartbeat too, when it came after the other one was final", async () => {
    const start = new Start();
    start.include();
    await start.final();
    add(start);
    await start.final();
    assert.deepEqual(start.reports, ["equivocationReported"]);
    assert.ok(start.states.has(reportedKey(place)));
    await start.final();
    assert.equal(start.reports.length, 1);
    assert.equal(await isHeld(), false);
  });

  it("stays on disk until the report is sealed: the next start reports it", async () => {
    const killed = new Start();
    add(killed);
    killed.include();
    killed.isSealing = false;
    await killed.final();
    await killed.final();
    assert.deepEqual(killed.reports, []);
    assert.equal(await isHeld(), true);
    await store.close();

    store = await open();
    const next = new Start();
    next.include();
    await next.held.load();
    await next.final();
    assert.deepEqual(next.reports, ["equivocationReported"]);
  });

  it("is let go when somebody else's report has frozen the chain for good", async () => {
    const start = new Start();
    add(start);
    start.include();
    start.isSealing = false;
    start.frozen = { index: 5n, position: 0 };
    await start.final();
    assert.equal(await isHeld(), true, "the report is not final");
    start.size = 6n;
    await start.final();
    assert.equal(await isHeld(), false);
    assert.deepEqual(start.reports, []);
  });
});
