/** When a gateway may not seal, by what its journal and its replica hold. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { watchOwnChain } from "../../gateway/own-chain.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import type { FinalCheckpoint, IncludedBatch } from "../../src/ledger/ports.ts";
import { initialState } from "../../src/registry/initial.ts";
import type { ChainTip, RegistryState } from "../../src/registry/state.ts";

const gateway = "hangzhou/market-regulation/gw1";
const startedAtMs = 1_800_000_000_700;
const hash = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);

function tipAt(epoch: bigint, seq: bigint): ChainTip {
  const sealed = { boot: new Uint8Array(16), seenSize: 0n, sealedAt: 0n };
  return { epoch, seq, leafHash: hash(Number(seq) + 1), index: seq, ...sealed };
}

class World {
  readonly halts = new Set<string>();
  state: RegistryState = initialState(new Uint8Array(32));
  readonly batches: { epoch: bigint; seq: bigint; leafHash: Uint8Array }[] = [];
  epoch = 0n;
  awaitedEpoch: bigint | undefined;
  #onFinal: (final: FinalCheckpoint) => void = () => undefined;
  #onIncluded: (batch: IncludedBatch) => void = () => undefined;

  /** The journal holds the batches of epoch 0 up to this number. */
  holds(count: number): this {
    for (let seq = 0n; seq < BigInt(count); seq++) this.batches.push(tipAt(0n, seq));
    return this;
  }

  ledgerHas(tip: ChainTip): this {
    this.state = { ...this.state, chains: this.state.chains.with(gateway, tip) };
    return this;
  }

  frozen(): this {
    const stop = { frozen: { index: 9n, position: 0 }, endings: [] };
    this.state = { ...this.state, chainStops: this.state.chainStops.with(gateway, stop) };
    return this;
  }

  watch(): this {
    const tip = this.batches.at(-1);
    watchOwnChain({
      gateway,
      startedAtMs,
      replica: {
        state: () => this.state,
        final: () => undefined,
        onFinal: (listener) => {
          this.#onFinal = listener;
          return () => undefined;
        },
        onIncluded: (listener) => {
          this.#onIncluded = listener;
          return () => undefined;
        },
      },
      journal: {
        epoch: this.epoch,
        awaitedEpoch: this.awaitedEpoch,
        tipAtStart:
          tip === undefined
            ? undefined
            : { ...tipAt(tip.epoch, tip.seq), number: 0, seenRoot: hash(0), sealedAtMs: 0 },
        reader: {
          batchAt: ({ epoch, seq }: { epoch: bigint; seq: bigint }) =>
            this.batches.find((one) => one.epoch === epoch && one.seq === seq) as
              | JournalBatch
              | undefined,
        } as never,
      },
      halt: (code) => void this.halts.add(code),
      lift: (code) => void this.halts.delete(code),
    });
    return this;
  }

  final(timeMs: number): this {
    this.#onFinal({ size: 1n, root: hash(0), note: hash(0), timeMs });
    return this;
  }

  included(tip: ChainTip): this {
    this.ledgerHas(tip);
    const header = { gateway, epoch: tip.epoch, seq: tip.seq } as unknown as Header;
    this.#onIncluded({ header, leafHash: tip.leafHash } as unknown as IncludedBatch);
    return this;
  }

  get codes(): readonly string[] {
    return [...this.halts].toSorted();
  }
}

describe("a gateway with an empty journal", () => {
  it("seals nothing before a checkpoint that became final in the second of its start, or later", () => {
    const world = new World().watch();
    assert.deepEqual(world.codes, ["LEDGER_BEHIND"]);
    assert.deepEqual(world.final(startedAtMs - 1_000).codes, ["LEDGER_BEHIND"]);
    assert.deepEqual(world.final(startedAtMs - 700).codes, []);
  });

  it("seals nothing at all once the ledger shows a batch of its chain", () => {
    const world = new World().watch().included(tipAt(0n, 4n));
    assert.deepEqual(world.final(startedAtMs).codes, ["JOURNAL_ROLLED_BACK"]);
    assert.deepEqual(new World().ledgerHas(tipAt(0n, 4n)).watch().codes, ["JOURNAL_ROLLED_BACK"]);
  });
});

describe("a gateway with a journal", () => {
  it("seals at once, also while the ledger is away", () => {
    assert.deepEqual(new World().holds(3).ledgerHas(tipAt(0n, 2n)).watch().codes, []);
    assert.deepEqual(new World().holds(3).watch().codes, []);
  });

  it("seals nothing when the ledger has a later batch, or another one at its place", () => {
    const later = new World().holds(3).ledgerHas(tipAt(0n, 3n)).watch();
    assert.deepEqual(later.codes, ["JOURNAL_ROLLED_BACK"]);
    const other = { ...tipAt(0n, 2n), leafHash: hash(99) };
    assert.deepEqual(new World().holds(3).watch().included(other).codes, ["JOURNAL_ROLLED_BACK"]);
  });

  it("seals nothing while its chain is frozen, and goes on when that is no more", () => {
    const world = new World().holds(3).ledgerHas(tipAt(0n, 2n)).watch();
    world.frozen().final(startedAtMs);
    assert.deepEqual(world.codes, ["CHAIN_FROZEN"]);
    world.state = { ...world.state, chainStops: initialState(new Uint8Array(32)).chainStops };
    assert.deepEqual(world.final(startedAtMs).codes, []);
  });

  it("seals in a later epoch than the one that is frozen", () => {
    const world = new World().holds(3).ledgerHas(tipAt(0n, 2n)).frozen();
    world.epoch = 1n;
    assert.deepEqual(world.watch().codes, []);
  });

  it("that was written again seals nothing before its new epoch", () => {
    const world = new World().holds(3).ledgerHas(tipAt(0n, 2n));
    world.awaitedEpoch = 1n;
    assert.deepEqual(world.watch().codes, ["JOURNAL_ROLLED_BACK"]);
  });
});
