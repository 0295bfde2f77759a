import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  HeldLeaves,
  type HeldLeafListener,
  type LeafPlace,
} from "../../src/exchange/held-leaves.ts";
import type { IncludedBatch } from "../../src/ledger/ports.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";

const inclusionBoundMs = 60_000;

/** A ledger of two gateways whose inclusion the test decides. */
class Places {
  readonly #included = new Map<string, { index: bigint; leafHash: Uint8Array }>();
  readonly told: string[] = [];
  readonly leaves = new HeldLeaves({
    leafAt: (place) => this.#included.get(this.#key(place)),
    inclusionBoundMs: () => inclusionBoundMs,
  });
  readonly listener: HeldLeafListener = {
    final: () => this.told.push("final"),
    forked: () => this.told.push("forked"),
    overdue: (_, sinceMs) => this.told.push(`overdue since ${sinceMs}`),
  };
  #size = 1n;

  #key({ gateway, epoch, seq }: LeafPlace): string {
    return `${gateway} ${epoch} ${seq}`;
  }

  hold(leaf: Uint8Array): void {
    this.leaves.hold(leaf, openLeaf(leaf).leafHash, this.listener);
  }

  include(leaf: Uint8Array): void {
    const { header, leafHash } = openLeaf(leaf);
    const index = this.#size++;
    this.#included.set(this.#key(header), { index, leafHash });
    this.leaves.onIncluded({ index, header } as IncludedBatch);
  }

  takeBack(leaf: Uint8Array): void {
    this.#included.delete(this.#key(openLeaf(leaf).header));
  }

  final(timeMs: number): void {
    this.leaves.onFinal({ size: this.#size, timeMs });
  }
}

describe("a leaf that came in-band", () => {
  const network = createTestNetwork();
  const ledger = new TestLedger(network);
  const seal = (
    gateway: typeof network.provider.gateway,
    sealedAtMs: number,
    openAttempts = 0,
  ): Uint8Array => {
    ledger.nowMs = sealedAtMs;
    return ledger.seal(gateway, [statusRecord(openAttempts)], { kind: "evidence" }).leaf;
  };
  const startMs = ledger.nowMs + 1000;
  const provider = network.provider.gateway;
  const consumer = network.consumer.gateway;

  it("is held until it is final, whichever comes first, it or the ledger", () => {
    for (const first of ["leaf", "ledger"]) {
      const places = new Places();
      const leaf = seal(provider, startMs);
      if (first === "ledger") places.include(leaf);
      places.hold(leaf);
      if (first === "leaf") places.include(leaf);
      assert.deepEqual(places.told, []);
      places.final(startMs + 1000);
      assert.deepEqual(places.told, ["final"]);
      assert.equal(places.leaves.count, 0);
    }
  });

  it("is overdue when the bound has passed since something sealed later became final", () => {
    const places = new Places();
    places.hold(seal(provider, startMs));
    places.include(seal(consumer, startMs + 10));
    places.final(startMs + 1000);
    places.final(startMs + 1000 + inclusionBoundMs);
    assert.deepEqual(places.told, []);
    places.final(startMs + 1001 + inclusionBoundMs);
    assert.deepEqual(places.told, [`overdue since ${startMs + 1000 + inclusionBoundMs}`]);
    places.final(startMs + 2000 + inclusionBoundMs);
    assert.equal(places.told.length, 1);
  });

  it("is not overdue on a ledger that stands still, or that moves without anything sealed later", () => {
    const places = new Places();
    places.hold(seal(provider, startMs));
    places.include(seal(consumer, startMs - 10));
    for (let minute = 0; minute < 20; minute++) places.final(startMs + minute * 60_000);
    assert.deepEqual(places.told, []);
  });

  it("has one more bound when a ledger comes back after a long time", () => {
    const places = new Places();
    places.hold(seal(provider, startMs));
    const backMs = startMs + 15 * 60_000;
    places.include(seal(consumer, startMs + 10));
    places.final(backMs);
    assert.deepEqual(places.told, []);
    places.final(backMs + inclusionBoundMs);
    assert.deepEqual(places.told, []);
  });

  it("is not overtaken by its own gateway's later batches", () => {
    const places = new Places();
    places.hold(seal(provider, startMs));
    const later = openLeaf(seal(provider, startMs + 10)).header;
    places.leaves.onIncluded({ index: 0n, header: { ...later, seq: later.seq + 1n } });
    places.final(startMs + 1000);
    places.final(startMs + 10 * inclusionBoundMs);
    assert.deepEqual(places.told, []);
  });

  it("is forked once another leaf is final at its place", () => {
    const places = new Places();
    const [one, another] = [seal(provider, startMs), seal(provider, startMs, 1)];
    places.hold(one);
    places.include(another as Uint8Array);
    assert.deepEqual(places.told, []);
    places.final(startMs + 1000);
    assert.deepEqual(places.told, ["forked"]);
  });

  it("goes on being held when a change of term takes it back", () => {
    const places = new Places();
    const leaf = seal(provider, startMs);
    places.hold(leaf);
    places.include(leaf);
    places.takeBack(leaf);
    places.final(startMs + 1000);
    assert.deepEqual(places.told, []);
    places.include(leaf);
    places.final(startMs + 2000);
    assert.deepEqual(places.told, ["final"]);
  });

  it("is told to everyone who holds it, and forgotten as the oldest when there are too many", () => {
    const places = new Places();
    const leaf = seal(provider, startMs);
    places.hold(leaf);
    let others = 0;
    const count = (): void => void others++;
    const listener = { final: count, forked: count, overdue: count };
    places.leaves.hold(leaf, openLeaf(leaf).leafHash, listener);
    places.include(leaf);
    places.final(startMs);
    assert.deepEqual([places.told, others], [["final"], 1]);
    const few = new HeldLeaves({ leafAt: () => undefined, inclusionBoundMs: () => 1 }, 2);
    for (let i = 0; i < 3; i++) {
      const one = seal(provider, startMs, i);
      few.hold(one, openLeaf(one).leafHash, listener);
    }
    assert.equal(few.count, 2);
  });
});
