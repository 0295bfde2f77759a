import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { BatchKind } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { EffectKind, EffectsSchema } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import { apply } from "../../src/registry/apply.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/registry/snapshot.ts";
import type { GrantFact, RegistryState } from "../../src/registry/state.ts";
import { isVerifiedFor, verifyBatch } from "../../src/registry/verify-batch.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";
import { history, play } from "./histories.ts";

const network = createTestNetwork();
const runs = { numRuns: 15 };

/** Applies the batches from `state` on, which is frozen before each step and compared after it. */
async function refold(from: RegistryState, ledger: TestLedger): Promise<RegistryState> {
  let state = from;
  for (const batch of ledger.batches.slice(Number(from.size))) {
    const verified = await verifyBatch(state, batch, network.verifier);
    assert.ok(verified.kind === "verified");
    const before = encodeSnapshot(state);
    const applied = apply(freeze(state), freeze(verified), state.size, ledger.rootAt);
    assert.deepEqual(encodeSnapshot(state), before);
    assert.ok(applied.kind === "applied");
    state = applied.state;
  }
  return state;
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  // Typed arrays cannot be frozen; the comparison of snapshots covers them.
  if (value instanceof Uint8Array) return value;
  for (const inner of Object.values(value)) freeze(inner);
  if (Symbol.iterator in value) for (const inner of value as Iterable<unknown>) freeze(inner);
  return Object.freeze(value);
}

test("the digest chain is the one that the text of the specification gives", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const ledger = await play(network, steps);
      let digest = Buffer.alloc(32);
      for (const [i, batch] of ledger.batches.entries()) {
        const state = ledger.states[i] as RegistryState;
        const verified = await verifyBatch(state, batch, network.verifier);
        assert.ok(verified.kind === "verified");
        const applied = apply(state, verified, BigInt(i), ledger.rootAt);
        assert.ok(applied.kind === "applied");
        const index = Buffer.alloc(8);
        index.writeBigUInt64BE(BigInt(i));
        digest = createHash("sha256")
          .update("causeway/registry/v1")
          .update(digest)
          .update(index)
          .update(toBinary(EffectsSchema, applied.effects))
          .digest();
        assert.deepEqual(Buffer.from(ledger.states[i + 1]?.digest ?? []), digest);
      }
    }),
    runs,
  );
});

test("the same batches give the same registry, and folding changes nothing that it is given", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const ledger = await play(network, steps);
      const again = await refold(ledger.states[0] as RegistryState, ledger);
      assert.deepEqual(encodeSnapshot(again), encodeSnapshot(ledger.state));
    }),
    runs,
  );
});

test("a fold that goes on from a snapshot ends where the whole fold ends", async () => {
  await fc.assert(
    fc.asyncProperty(history, fc.nat(), async (steps, at) => {
      const ledger = await play(network, steps);
      const size = at % (ledger.batches.length + 1);
      const restored = decodeSnapshot(encodeSnapshot(ledger.states[size] as RegistryState));
      assert.ok(restored !== undefined);
      const again = await refold(restored, ledger);
      assert.deepEqual(encodeSnapshot(again), encodeSnapshot(ledger.state));
    }),
    runs,
  );
});

test("a batch that was verified ahead of the fold is applied as if it had been verified in its turn", async () => {
  let ahead = 0;
  await fc.assert(
    fc.asyncProperty(history, fc.integer({ min: 1, max: 6 }), async (steps, lead) => {
      const ledger = await play(network, steps);
      for (const [i, batch] of ledger.batches.entries()) {
        if (i <= lead) continue;
        const then = ledger.states[i - lead] as RegistryState;
        const state = ledger.states[i] as RegistryState;
        const early = await verifyBatch(then, batch, network.verifier);
        if (early.kind === "rejected" || !isVerifiedFor(early, state)) continue;
        ahead++;
        const applied = apply(state, early, BigInt(i), ledger.rootAt);
        assert.ok(applied.kind === "applied");
        assert.deepEqual(
          encodeSnapshot(applied.state),
          encodeSnapshot(ledger.states[i + 1] as RegistryState),
        );
      }
    }),
    runs,
  );
  assert.ok(ahead > 50, `${ahead} batches were verified ahead`);
});

test("what is taken stays taken, and at most one version of a service is in force", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const { states } = await play(network, steps);
      const taken = new Map<string, GrantFact>();
      for (const { grants, services } of states) {
        for (const [jti, grant] of taken) assert.deepEqual(grants.get(jti), grant);
        for (const [jti, grant] of grants) {
          if (grant.standing.until !== undefined) taken.set(jti, grant);
        }
        for (const facts of services.values()) {
          const standing = facts.slice(0, -1).filter((fact) => fact.standing.until === undefined);
          assert.deepEqual(standing, []);
          // A resumption repeats its version; no other is stated twice or left out.
          const versions = [...new Set(facts.map(({ body }) => body.version))];
          assert.deepEqual(
            versions,
            versions.map((_, i) => i + 1),
          );
        }
      }
    }),
    runs,
  );
});

test("every governance record has one effect, in order, and evidence has none", async () => {
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const ledger = await play(network, steps);
      const fresh = new TestLedger(network);
      for (const batch of ledger.batches) {
        const applied = await fresh.offer(batch);
        assert.ok(applied.kind === "applied");
        const isEvidence = batch.header.kind === BatchKind.EVIDENCE;
        const positions = isEvidence ? [] : batch.records.map((_, position) => position);
        assert.deepEqual(
          applied.effects.effects.map(({ position }) => position),
          positions,
        );
        assert.deepEqual(
          applied.effects.effects.flatMap(({ kind, position }) =>
            kind === EffectKind.VOID ? [position] : [],
          ),
          applied.voids.map(({ position }) => position),
        );
      }
    }),
    runs,
  );
});

test("evidence moves the chain, the size and the digest, and shares everything else", async () => {
  const ledger = await TestLedger.founded(network);
  const before = ledger.state;
  const { state, effects, batch } = await ledger.appendEvidence(network.provider.gateway);
  assert.deepEqual(effects.effects, []);
  const { size, digest, chains, ...shared } = state;
  assert.equal(size, 2n);
  assert.notDeepEqual(digest, before.digest);
  const tip = chains.get(network.provider.gateway.id);
  assert.deepEqual(tip, {
    epoch: 0n,
    seq: 1n,
    leafHash: batch.leafHash,
    index: 1n,
    boot: network.provider.gateway.boot,
    seenSize: 1n,
    sealedAt: BigInt(ledger.nowMs),
  });
  for (const [name, value] of Object.entries(shared)) {
    assert.equal(value, before[name as keyof RegistryState], name);
  }
});

const orders = [
  ["provider", "provider", "consumer"],
  ["provider", "consumer", "provider"],
  ["consumer", "provider", "provider"],
] as const;

test("independent chains interleave in any order to the same tips", async () => {
  const tips = new Set<string>();
  for (const order of orders) {
    const ledger = await TestLedger.founded(network);
    const seenSize = ledger.size;
    for (const name of order) {
      await ledger.appendEvidence(network[name].gateway, undefined, { seenSize });
    }
    const hashes = [...ledger.state.chains.values()].map(
      ({ seq, leafHash }) => `${seq} ${Buffer.from(leafHash).toString("hex")}`,
    );
    tips.add(hashes.join());
  }
  assert.equal(tips.size, 1);
});
