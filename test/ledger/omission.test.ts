import assert from "node:assert/strict";
import test from "node:test";
import { equalBytes, toHex, utf8 } from "../../src/base/bytes.ts";
import type { EpochBody } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { heldBatchesBytesMax, heldBatchesMax, heldBytesMax } from "../../src/base/limits.ts";
import { type HeldBatches, holdBatch } from "../../src/ledger/embedded/held-batches.ts";
import { isOmitted, type LedgerLook } from "../../src/ledger/embedded/omission.ts";
import { initialWitness, stepWitness } from "../../src/ledger/embedded/witness-machine.ts";
import type {
  WitnessEffect,
  WitnessEvent,
  WitnessState,
} from "../../src/ledger/embedded/witness-types.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { type VerifiedBatch, verifyBatch } from "../../src/registry/verify-batch.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";
import { sayOfAgency } from "../support/statements.ts";

const boundMs = 60_000;
const root = new Uint8Array(32).fill(7);

async function founded(): Promise<TestLedger> {
  return TestLedger.founded(createTestNetwork());
}

async function verifiedBy(ledger: TestLedger, batch: SealedBatch): Promise<VerifiedBatch> {
  const verified = await verifyBatch(ledger.state, batch, ledger.network.verifier);
  assert.equal(verified.kind, "verified");
  return verified as VerifiedBatch;
}

function evidence(ledger: TestLedger, seal: Partial<{ openAttempts: number }> = {}): CreatedBatch {
  const record = statusRecord(seal.openAttempts ?? 0);
  return ledger.seal(ledger.network.provider.gateway, [record], { kind: "evidence" });
}

/** A witness that promised nothing; every checkpoint is of size 5. */
class Scene {
  state: WitnessState = initialWitness(
    {
      readCheckpoint: (note) => ({
        kind: "signed",
        checkpoint: { term: 0n, origin: "log", size: 5n, root, note },
      }),
      waitMs: 1000,
      inclusionBoundMs: boundMs,
      key: "key",
    },
    { promises: new Map(), promisedTerm: 0n, lost: undefined },
  );

  at(ms: number, event: WitnessEvent): readonly WitnessEffect[] {
    const { state, effects } = stepWitness(this.state, event, ms);
    this.state = state;
    return effects.filter(({ kind }) => kind !== "wake");
  }

  /** After how many milliseconds it looks again, once this has happened; `undefined` when nothing waits for that. */
  wakeAt(ms: number, event: WitnessEvent): number | undefined {
    const { state, effects } = stepWitness(this.state, event, ms);
    this.state = state;
    return effects.find((effect) => effect.kind === "wake")?.delayMs;
  }

  /** The batches that a checkpoint is judged by at this moment. */
  overdueAt(ms: number): number {
    const body = formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint: utf8("note") });
    const [effect] = this.at(ms, { kind: "request", id: ms, body });
    assert.ok(effect?.kind === "ask replica");
    return effect.overdue.length;
  }
}

async function holding(): Promise<{
  readonly scene: Scene;
  readonly batch: CreatedBatch;
  readonly ledger: TestLedger;
}> {
  const ledger = await founded();
  const batch = evidence(ledger);
  const scene = new Scene();
  const verified = await verifiedBy(ledger, batch);
  const [answer] = scene.at(0, { kind: "hold", id: 1, batch, verified });
  assert.equal(answer?.kind === "answer" && answer.answer.status, 202);
  return { scene, batch, ledger };
}

test("a batch is passed on after half of the bound, and again until it is included", async () => {
  const { scene, batch } = await holding();
  const forwardsAt = (ms: number): number =>
    scene.at(ms, { kind: "tick" }).filter(({ kind }) => kind === "forward").length;
  assert.equal(forwardsAt(29_999), 0);
  assert.equal(forwardsAt(30_000), 1);
  assert.equal(forwardsAt(44_999), 0);
  assert.equal(forwardsAt(45_000), 1);
  scene.at(50_000, { kind: "included", leafHash: toHex(batch.leafHash), index: 4n });
  assert.equal(forwardsAt(90_000), 0);
});

test("the wake is when the first batch is to be passed on", async () => {
  const { scene } = await holding();
  const { effects } = stepWitness(scene.state, { kind: "tick" }, 10_000);
  assert.deepEqual(effects, [{ kind: "wake", delayMs: 20_000 }]);
});

test("a batch that was passed on counts once it is held for longer than the bound, included or not", async () => {
  const { scene, batch } = await holding();
  assert.equal(scene.overdueAt(60_001), 0, "it was not passed on");
  scene.at(60_002, { kind: "tick" });
  assert.equal(scene.overdueAt(60_003), 1);
  scene.at(60_004, { kind: "included", leafHash: toHex(batch.leafHash), index: 9n });
  assert.equal(scene.overdueAt(60_005), 1, "a size below its index omits it");
});

test("a checkpoint that omits is 503, told to the operator, and nothing is promised", async () => {
  const { scene } = await holding();
  scene.at(30_000, { kind: "tick" });
  assert.equal(scene.overdueAt(60_001), 1);
  const effects = scene.at(60_002, {
    kind: "replica",
    id: 60_001,
    verdict: { kind: "stands", root },
    finalSize: 0n,
    omits: true,
  });
  assert.deepEqual(
    effects.map((effect) => (effect.kind === "answer" ? effect.answer.body : effect)),
    ["a batch is withheld\n", { kind: "report", reason: "BATCH_WITHHELD", size: 5n }],
  );
});

test("a batch is let go once it is final, or another batch of its place is", async () => {
  for (const tips of [[], [{ gateway: "", epoch: 0n, seq: 0n }]]) {
    const { scene, batch } = await holding();
    const { gateway, seq } = batch.header;
    if (tips.length === 0) {
      scene.at(1, { kind: "included", leafHash: toHex(batch.leafHash), index: 4n });
      scene.at(2, { kind: "final", size: 4n, tips: [] });
      assert.equal(scene.state.held.size, 1, "index 4 is not below size 4");
      scene.at(3, { kind: "final", size: 5n, tips: [] });
    } else {
      scene.at(2, { kind: "final", size: 5n, tips: [{ gateway, epoch: 0n, seq: seq - 1n }] });
      assert.equal(scene.state.held.size, 1, "its place is free");
      scene.at(3, { kind: "final", size: 5n, tips: [{ gateway, epoch: 0n, seq }] });
    }
    assert.equal(scene.state.held.size, 0);
  }
});

test("a new term begins the bound anew, and takes back what was included above its start", async () => {
  const { scene, batch } = await holding();
  scene.at(30_000, { kind: "tick" });
  scene.at(40_000, { kind: "included", leafHash: toHex(batch.leafHash), index: 4n });
  scene.at(50_000, { kind: "term began", term: 1n, size: 4n });
  assert.equal(scene.overdueAt(70_000), 0);
  const forwarded = scene.at(80_000, { kind: "tick" });
  assert.ok(forwarded.some(({ kind }) => kind === "forward"));
  assert.equal(scene.overdueAt(110_001), 1);
});

test("what the own replica had and has dropped is passed on, and not let go when another leaf of its index is final", async () => {
  const { scene, batch } = await holding();
  scene.at(10_000, { kind: "included", leafHash: toHex(batch.leafHash), index: 4n });
  assert.equal(scene.wakeAt(30_000, { kind: "tick" }), undefined, "it is included");
  assert.equal(scene.wakeAt(40_000, { kind: "dropped", size: 5n }), undefined, "index 4 stands");
  assert.equal(scene.wakeAt(40_000, { kind: "dropped", size: 4n }), 0);
  assert.ok(scene.at(40_000, { kind: "tick" }).some(({ kind }) => kind === "forward"));
  scene.at(50_000, { kind: "final", size: 5n, tips: [] });
  assert.equal(scene.state.held.size, 1);
  assert.equal(scene.overdueAt(60_001), 1, "its bound did not begin anew");
});

test("what a new term takes back is passed on though nothing else is held", async () => {
  const { scene, batch } = await holding();
  scene.at(10_000, { kind: "included", leafHash: toHex(batch.leafHash), index: 4n });
  assert.equal(scene.wakeAt(30_000, { kind: "tick" }), undefined);
  assert.equal(scene.wakeAt(50_000, { kind: "term began", term: 1n, size: 4n }), boundMs / 2);
});

test("the same batch is held once, and its time does not begin again", async () => {
  const { scene, batch, ledger } = await holding();
  const verified = await verifiedBy(ledger, batch);
  scene.at(20_000, { kind: "hold", id: 2, batch, verified });
  assert.equal(scene.state.held.size, 1);
  assert.ok(scene.at(30_000, { kind: "tick" }).some(({ kind }) => kind === "forward"));
});

const refusals: Readonly<Record<string, number>> = {
  GATEWAY_UNKNOWN: 403,
  KEY_UNKNOWN: 403,
  NETWORK_UNKNOWN: 403,
  SIGNATURE_INVALID: 403,
  TOO_LARGE: 413,
  BATCH_INVALID: 400,
  NOT_CANONICAL: 400,
};
for (const [reason, status] of Object.entries(refusals)) {
  test(`a batch that is refused for ${reason} is ${status} and not held`, async () => {
    const scene = new Scene();
    const batch = { leaf: new Uint8Array(), records: [] };
    const verified = { kind: "rejected", reason: reason as "KEY_UNKNOWN" } as const;
    const [effect] = scene.at(0, { kind: "hold", id: 1, batch, verified });
    assert.equal(effect?.kind === "answer" && effect.answer.status, status);
    assert.equal(scene.state.held.size, 0);
  });
}

/** Held batches told apart by their first byte, of `bytes` bytes. */
async function fill(options: {
  readonly count: number;
  readonly bytes: number;
  readonly gatewayOf: (i: number) => string;
}): Promise<HeldBatches | "full"> {
  const ledger = await founded();
  const verified = await verifiedBy(ledger, evidence(ledger));
  let held: HeldBatches = new Map();
  for (let i = 0; i < options.count; i++) {
    const one: VerifiedBatch = {
      ...verified,
      leafHash: Uint8Array.of(i >> 8, i & 255),
      header: { ...verified.header, gateway: options.gatewayOf(i) },
    };
    const batch = { leaf: new Uint8Array(options.bytes), records: [] };
    const next = holdBatch(held, { batch, verified: one }, { nowMs: 0, boundMs });
    if (next === "full") return "full";
    held = next;
  }
  return held;
}

test("one gateway has a bounded number and bytes of batches held, and so have all together", async () => {
  const one = (): string => "a/b/c";
  const own = (i: number): string => `a/b/c${i}`;
  const half = heldBatchesBytesMax / 2;
  const isFull = async (options: Parameters<typeof fill>[0]): Promise<boolean> =>
    (await fill(options)) === "full";
  assert.equal(await isFull({ count: heldBatchesMax, bytes: 1, gatewayOf: one }), false);
  assert.equal(await isFull({ count: heldBatchesMax + 1, bytes: 1, gatewayOf: one }), true);
  assert.equal(await isFull({ count: 2, bytes: half, gatewayOf: one }), false);
  assert.equal(await isFull({ count: 3, bytes: half, gatewayOf: one }), true);
  const most = heldBytesMax / half;
  assert.equal(await isFull({ count: most, bytes: half, gatewayOf: own }), false);
  assert.equal(await isFull({ count: most + 1, bytes: half, gatewayOf: own }), true);
});

function lookAt(ledger: TestLedger): LedgerLook {
  return {
    state: () => ledger.state,
    rootAt: ledger.rootAt,
    indexOfLeaf: (leafHash) => {
      const index = ledger.batches.findIndex((batch) => equalBytes(batch.leafHash, leafHash));
      return index < 0 ? undefined : BigInt(index);
    },
    blobSize: () => undefined,
  };
}

test("a batch that could be the next leaf is omitted; once included it is omitted by what is below alone", async () => {
  const ledger = await founded();
  const batch = evidence(ledger);
  const held = { batch, verified: await verifiedBy(ledger, batch) };
  assert.equal(isOmitted(held, 1n, lookAt(ledger)), true);
  await ledger.appendEvidence(ledger.network.consumer.gateway);
  assert.equal(isOmitted(held, 2n, lookAt(ledger)), true, "another chain's leaf changes nothing");
  await ledger.offer(batch);
  await ledger.appendEvidence(ledger.network.consumer.gateway);
  assert.equal(isOmitted(held, 4n, lookAt(ledger)), false);
  assert.equal(isOmitted(held, 3n, lookAt(ledger)), false);
  assert.equal(isOmitted(held, 2n, lookAt(ledger)), true);
  assert.equal(isOmitted(held, 1n, lookAt(ledger)), true);
});

test("a batch whose predecessor is not there is not omitted: its predecessor is", async () => {
  const ledger = await founded();
  const other = ledger.fork();
  const { batch: first } = await other.appendEvidence(ledger.network.provider.gateway);
  const second = evidence(other, { openAttempts: 1 });
  const look = lookAt(ledger);
  const held = async (batch: CreatedBatch): Promise<Parameters<typeof isOmitted>[0]> => ({
    batch,
    verified: await verifiedBy(ledger, batch),
  });
  assert.equal(isOmitted(await held(first), 1n, look), true);
  assert.equal(isOmitted(await held(second), 1n, look), false);
  assert.equal(isOmitted(await held(first), 1n, lookAt(other)), true, "included above it");
  await other.offer(second);
  assert.equal(isOmitted(await held(second), 1n, lookAt(other)), false, "what it follows is above");
  assert.equal(isOmitted(await held(second), 2n, lookAt(other)), true);
});

test("a batch whose place another one has taken is not omitted", async () => {
  const ledger = await founded();
  const batch = evidence(ledger, { openAttempts: 9 });
  const held = { batch, verified: await verifiedBy(ledger, batch) };
  await ledger.appendEvidence(ledger.network.provider.gateway);
  assert.equal(isOmitted(held, 2n, lookAt(ledger)), false);
});

test("a batch that has seen more than a size, or another tree, could not stand there", async () => {
  const ledger = await founded();
  await ledger.appendEvidence(ledger.network.consumer.gateway);
  const later = evidence(ledger);
  const held = { batch: later, verified: await verifiedBy(ledger, later) };
  assert.equal(isOmitted(held, 1n, lookAt(ledger)), false);
  assert.equal(isOmitted(held, 2n, lookAt(ledger)), true);
  const strange = ledger.seal(ledger.network.provider.gateway, [statusRecord()], {
    kind: "evidence",
    seen: { size: 1n, root },
  });
  const other = { batch: strange, verified: await verifiedBy(ledger, strange) };
  assert.equal(isOmitted(other, 2n, lookAt(ledger)), false);
});

test("a later epoch whose statement has no effect has no place anywhere, and is not omitted", async () => {
  const ledger = await founded();
  const { network } = ledger;
  const { gateway, authority, administrator } = network.provider;
  const tip = ledger.state.chains.get(gateway.id);
  assert.ok(tip !== undefined);
  const body: EpochBody = {
    epoch: 1,
    last: { epoch: Number(tip.epoch), seq: Number(tip.seq), leaf: toHex(tip.leafHash) },
    reason: "disk-lost",
    lost_from: 1,
    lost_to: 2,
  };
  const held = async (by: Signer): Promise<Parameters<typeof isOmitted>[0]> => {
    const said = sayOfAgency(network, "epoch", network.provider, { sub: gateway.id, body }, by);
    const batch = ledger.seal(gateway, [said.record], { epoch: 1n, seq: 0n });
    return { batch, verified: await verifiedBy(ledger, batch) };
  };
  assert.equal(isOmitted(await held(administrator), 1n, lookAt(ledger)), false);
  assert.equal(isOmitted(await held(authority), 1n, lookAt(ledger)), true);
});
