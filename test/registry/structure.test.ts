import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { concatBytes } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { type Header, HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import type { BatchBytes } from "../../src/record/batch.ts";
import { encodeCanonical } from "../../src/record/canonical.ts";
import { signedBytes } from "../../src/record/leaf.ts";
import { apply } from "../../src/registry/apply.ts";
import { encodeSnapshot } from "../../src/registry/snapshot.ts";
import { isVerifiedFor, verifyBatch } from "../../src/registry/verify-batch.ts";
import { type BatchChange, statusRecord, type TestLedger } from "../support/ledger.ts";
import { sayAdministrator, type TestGateway } from "../support/network.ts";
import { sayService } from "../support/statements.ts";
import { createFlow } from "./support.ts";

const flow = await createFlow();
const { network, ledger, provider, consumer } = flow;
const evidence = (gateway: TestGateway, change: BatchChange = {}): BatchBytes =>
  ledger.seal(gateway, [statusRecord()], { kind: "evidence", ...change });

/** The gateway's next batch with a header that no sealer would sign. */
function forged(change: Partial<Header>): BatchBytes {
  const { header, records } = ledger.seal(provider, [statusRecord()], { kind: "evidence" });
  const bytes = encodeCanonical(HeaderSchema, create(HeaderSchema, { ...header, ...change }));
  return { leaf: concatBytes(provider.batch.sign(signedBytes(bytes)), bytes), records };
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
}

const stranger: TestGateway = { ...consumer, id: "shenzhen/market-regulation/gw2" };
const newest = ledger.batches.at(-1);
assert.ok(newest);
const two = [statusRecord(1), statusRecord(2)];
const pair = ledger.seal(provider, two, { kind: "evidence" });

const cases: readonly { name: string; reason: ReasonCode; batch: BatchBytes }[] = [
  {
    name: "of another network",
    reason: "NETWORK_UNKNOWN",
    batch: evidence(provider, { network: new Uint8Array(32) }),
  },
  { name: "of an unknown gateway", reason: "GATEWAY_UNKNOWN", batch: evidence(stranger) },
  {
    name: "under an unknown key",
    reason: "KEY_UNKNOWN",
    batch: evidence(provider, { signer: network.signer("x") }),
  },
  {
    name: "under another gateway's key",
    reason: "KEY_UNKNOWN",
    batch: evidence(provider, { signer: consumer.batch }),
  },
  {
    name: "under the gateway's token key",
    reason: "KEY_UNKNOWN",
    batch: evidence(provider, { signer: provider.token }),
  },
  {
    name: "with a bit of its signature changed",
    reason: "SIGNATURE_INVALID",
    batch: { ...pair, leaf: flipped(pair.leaf, 40) },
  },
  {
    name: "without one of its records",
    reason: "BATCH_INVALID",
    batch: { ...pair, records: two.slice(1) },
  },
  {
    name: "with its records in another order",
    reason: "BATCH_INVALID",
    batch: { ...pair, records: two.toReversed() },
  },
  {
    name: "of evidence that holds a statement",
    reason: "BATCH_INVALID",
    batch: ledger.seal(provider, [sayService(network).record], { kind: "evidence" }),
  },
  {
    name: "of governance that holds evidence",
    reason: "BATCH_INVALID",
    batch: ledger.seal(provider, two),
  },
  { name: "of another header version", reason: "BATCH_INVALID", batch: forged({ version: 2 }) },
  {
    name: "whose first decision is later than its seal",
    reason: "BATCH_INVALID",
    batch: forged({ firstAt: BigInt(ledger.nowMs) + 1n }),
  },
  {
    name: "with a record that is no message",
    reason: "MALFORMED",
    batch: ledger.seal(provider, [new Uint8Array([7])], { kind: "evidence" }),
  },
  {
    name: "with a record of non-canonical bytes",
    reason: "NOT_CANONICAL",
    batch: ledger.seal(provider, [concatBytes(statusRecord(), new Uint8Array([0x98, 0x06, 0]))], {
      kind: "evidence",
    }),
  },
  {
    name: "whose leaf is too short",
    reason: "MALFORMED",
    batch: { ...pair, leaf: pair.leaf.subarray(0, 64) },
  },
  {
    name: "whose leaf is too long",
    reason: "TOO_LARGE",
    batch: { ...pair, leaf: new Uint8Array(1025) },
  },
  { name: "that leaves a number out", reason: "CHAIN_GAP", batch: evidence(provider, { seq: 5n }) },
  {
    name: "of a later epoch",
    reason: "CHAIN_GAP",
    batch: evidence(provider, { epoch: 1n, seq: 0n }),
  },
  {
    name: "after another batch than the chain's newest",
    reason: "CHAIN_FORK",
    batch: evidence(provider, { prev: new Uint8Array(32) }),
  },
  {
    name: "at the place of the newest one",
    reason: "CHAIN_FORK",
    batch: evidence(provider, { seq: 3n }),
  },
  {
    name: "at the place of an older one",
    reason: "CHAIN_FORK",
    batch: evidence(provider, { seq: 0n }),
  },
  { name: "that is the newest one again", reason: "BATCH_KNOWN", batch: newest },
  {
    name: "that names a size beyond the ledger",
    reason: "SEEN_INVALID",
    batch: evidence(provider, { seen: { size: 6n, root: new Uint8Array(32) } }),
  },
  {
    name: "that names a root which the size does not have",
    reason: "SEEN_INVALID",
    batch: evidence(provider, { seen: { size: 5n, root: new Uint8Array(32) } }),
  },
  {
    name: "that goes back in seen size",
    reason: "SEEN_DECREASING",
    batch: evidence(provider, { seenSize: 3n }),
  },
  {
    name: "that goes back in time",
    reason: "SEEN_DECREASING",
    batch: evidence(provider, { sealedAtMs: ledger.nowMs - 1 }),
  },
];

for (const { name, reason, batch } of cases) {
  test(`a batch ${name} is rejected ${reason} and changes nothing`, async () => {
    const before = encodeSnapshot(ledger.state);
    assert.deepEqual(await ledger.judge(batch), { kind: "rejected", reason });
    assert.deepEqual(encodeSnapshot(ledger.state), before);
  });
}

test("the batch that all of them vary is accepted", async () => {
  assert.equal((await ledger.judge(pair)).kind, "applied");
  assert.equal((await ledger.judge(evidence(consumer))).kind, "applied");
});

test("every single bit of a leaf matters", async () => {
  for (let bit = 0; bit < pair.leaf.length * 8; bit += 5) {
    const leaf = pair.leaf.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
    const judged = await ledger.judge({ ...pair, leaf });
    assert.equal(judged.kind, "rejected", `bit ${bit}`);
  }
});

test("a boot that another one followed comes back without being refused", async () => {
  const fork = ledger.fork();
  await fork.appendEvidence(provider, two, { boot: new Uint8Array(16).fill(9) });
  const { state } = await fork.appendEvidence(provider);
  assert.deepEqual(state.chains.get(provider.id)?.boot, provider.boot);
});

async function verifiedAt(at: TestLedger, batch: BatchBytes): Promise<Parameters<typeof apply>[1]> {
  const verified = await verifyBatch(at.state, batch, network.verifier);
  assert.equal(verified.kind, "verified");
  return verified;
}

test("a batch may be verified ahead of the batches before it", async () => {
  const fork = ledger.fork();
  const ahead = await verifiedAt(fork, evidence(consumer));
  await fork.appendEvidence(provider);
  assert.equal(apply(fork.state, ahead, fork.size, fork.rootAt).kind, "applied");
});

test("a batch of a signer that was not known is verified again when its turn comes", async () => {
  const fork = ledger.fork();
  const operator = network.signer("new operator");
  const batch = fork.seal(consumer, [sayService(network, { by: [operator] }).record]);
  const early = await verifiedAt(fork, batch);
  await fork.append(provider, [sayAdministrator(network, network.provider, operator)]);
  assert.equal(isVerifiedFor(early, fork.state), false);
  assert.throws(() => apply(fork.state, early, fork.size, fork.rootAt), {
    name: "RangeError",
    message: "the batch is to be verified again",
  });
  assert.equal(isVerifiedFor(await verifiedAt(fork, batch), fork.state), true);
});

test("another index than the next is misuse", async () => {
  const batch = await verifiedAt(ledger, pair);
  assert.throws(() => apply(ledger.state, batch, ledger.size + 1n, ledger.rootAt), {
    name: "RangeError",
    message: "the next index is 5, not 6",
  });
});
