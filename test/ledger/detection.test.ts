/**
 * Everything that a sequencer may do to a history, each told by a follower that had seen it before: it
 * names what is wrong and where, keeps both signed heads, and trusts that ledger no more.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import type { TestGateway } from "../support/network.ts";
import {
  batchOf,
  faultOf,
  finalOf,
  followed,
  headOf,
  type Lie,
  type ScriptedSequencer,
} from "./scripted-sequencer.ts";
import { until } from "./support.ts";

type Shown = ScriptedSequencer["items"][number];

/** What the sequencer shows after batches 0 and 1 and the head of size 2. */
type Lies = (lie: Lie) => Promise<readonly Shown[]>;

interface Row {
  readonly what: string;
  readonly shows: Lies;
  readonly reason: ReasonCode;
  /** Index of the first batch that is wrong, where the fault is in a batch. */
  readonly index?: bigint;
  /** Batches that are included before it is told. */
  readonly included?: bigint;
}

const provider = ({ cities }: Lie): TestGateway => cities.network.provider.gateway;
const consumer = ({ cities }: Lie): TestGateway => cities.network.consumer.gateway;

/** A next batch for this follower, at index 2. */
function batchAt2({ leaf, records }: SealedBatch): Shown {
  return { kind: "batch", index: 2n, batch: { leaf, records } };
}

/** Another ledger of the network, with the founding batch alone. */
function another({ cities }: Lie): Promise<TestLedger> {
  return TestLedger.founded(cities.network);
}

/** The provider's batch at the place of batch 1, with another record. */
async function secondLeaf(lie: Lie, boot?: Uint8Array): Promise<SealedBatch> {
  const other = await another(lie);
  return other.seal(provider(lie), [statusRecord(9)], {
    kind: "evidence",
    ...(boot === undefined ? {} : { boot }),
  });
}

/** Batch 2 of the provider with one byte of its leaf changed. */
async function editedLeaf(lie: Lie, at: number): Promise<readonly Shown[]> {
  const { leaf, records } = lie.cities.ledger.seal(provider(lie), [statusRecord()], {
    kind: "evidence",
  });
  const edited = leaf.slice();
  const place = at < 0 ? edited.length + at : at;
  edited[place] = (edited[place] as number) ^ 1;
  return [batchAt2({ leaf: edited, records })];
}

const rows: readonly Row[] = [
  {
    what: "rollback: an earlier head again",
    shows: async (lie) => [headOf(lie, 1n)],
    reason: "LEDGER_FORK",
  },
  {
    what: "rollback: set back by one leaf, and gone on with others",
    shows: async (lie) => {
      const other = await another(lie);
      await other.appendEvidence(consumer(lie));
      const { batch } = await other.appendEvidence(consumer(lie), [statusRecord(1)]);
      return [batchAt2(batch), headOf(lie, 3n, { ledger: other })];
    },
    reason: "CHAIN_GAP",
    index: 2n,
  },
  {
    what: "truncation: the log ends below a size that it has signed and that is final",
    shows: async (lie) => [finalOf(lie, 2n), headOf(lie, 1n)],
    reason: "LEDGER_FORK",
  },
  {
    what: "fork: another head of the same size",
    shows: async (lie) => {
      const other = await another(lie);
      await other.appendEvidence(consumer(lie));
      return [headOf(lie, 2n, { ledger: other })];
    },
    reason: "LEDGER_FORK",
  },
  {
    what: "fork: a later head over another leaf",
    shows: async (lie) => {
      const { ledger } = lie.cities;
      const other = ledger.fork();
      await other.appendEvidence(consumer(lie), [statusRecord(1)]);
      const { batch } = await ledger.appendEvidence(provider(lie));
      return [batchAt2(batch), headOf(lie, 3n, { ledger: other })];
    },
    reason: "LEDGER_FORK",
    included: 3n,
  },
  {
    what: "fork: another final checkpoint of the same size",
    shows: async (lie) => [
      finalOf(lie, 2n),
      finalOf(lie, 2n, { root: new Uint8Array(32).fill(3) }),
    ],
    reason: "LEDGER_FORK",
  },
  {
    what: "reorder: two leaves of one chain",
    shows: async (lie) => {
      const { ledger } = lie.cities;
      await ledger.appendEvidence(provider(lie), [statusRecord(1)]);
      const { batch } = await ledger.appendEvidence(provider(lie), [statusRecord(2)]);
      return [batchAt2(batch)];
    },
    reason: "CHAIN_GAP",
    index: 2n,
  },
  {
    what: "reorder: two leaves of two chains",
    shows: async (lie) => {
      const { ledger } = lie.cities;
      const seen = { seenSize: 2n };
      const first = await ledger.appendEvidence(provider(lie), [statusRecord(1)], seen);
      const second = await ledger.appendEvidence(consumer(lie), [statusRecord(2)], seen);
      return [
        batchAt2(second.batch),
        { kind: "batch", index: 3n, batch: first.batch },
        headOf(lie, 4n),
      ];
    },
    reason: "LEDGER_FORK",
    included: 4n,
  },
  {
    what: "edit: a byte of a leaf's signature",
    shows: (lie) => editedLeaf(lie, 3),
    reason: "SIGNATURE_INVALID",
    index: 2n,
  },
  {
    what: "edit: the last byte of a leaf's header",
    shows: (lie) => editedLeaf(lie, -1),
    reason: "SIGNATURE_INVALID",
    index: 2n,
  },
  {
    what: "edit: a byte of a record",
    shows: async (lie) => {
      const { leaf } = lie.cities.ledger.seal(provider(lie), [statusRecord(1)], {
        kind: "evidence",
      });
      return [batchAt2({ leaf, records: [statusRecord(2)] })];
    },
    reason: "BATCH_INVALID",
    index: 2n,
  },
  {
    what: "duplicate: the newest leaf of a chain at a second index",
    shows: async ({ cities }) => [batchAt2(cities.ledger.batches[1] as SealedBatch)],
    reason: "BATCH_KNOWN",
    index: 2n,
  },
  {
    what: "duplicate: an older leaf at a second index",
    shows: async ({ cities }) => [batchAt2(cities.ledger.batches[0] as SealedBatch)],
    reason: "CHAIN_FORK",
    index: 2n,
  },
  {
    what: "equivocation: a second leaf of one boot for a place of a chain",
    shows: async (lie) => [batchAt2(await secondLeaf(lie))],
    reason: "CHAIN_FORK",
    index: 2n,
  },
  {
    what: "equivocation: a second leaf of another boot for a place of a chain",
    shows: async (lie) => [batchAt2(await secondLeaf(lie, new Uint8Array(16).fill(8)))],
    reason: "CHAIN_FORK",
    index: 2n,
  },
  {
    what: "a registry that diverges",
    shows: async (lie) => [headOf(lie, 2n, { digest: new Uint8Array(32).fill(1) })],
    reason: "DIGEST_DIVERGES",
  },
];

for (const { what, shows, reason, index, included = 2n } of rows) {
  test(`${what} is ${reason}${index === undefined ? ", with both heads" : ` at index ${index}`}`, async (t) => {
    const lie = await followed(t);
    const { cities, sequencer } = lie;
    const held = headOf(lie, 2n).note;
    const shown = await shows(lie);
    sequencer.items.push(...shown);
    const fault = await faultOf(lie);
    assert.equal(fault.reason, reason);
    assert.equal(fault.index, index);
    const first = shown[0];
    const isFinalHeld = first?.kind === "final" && shown[1]?.kind === "final";
    assert.deepEqual(fault.held, isFinalHeld ? first.note : held);
    const last = shown.at(-1);
    const lastNote = last?.kind === "head" || last?.kind === "final" ? last.note : undefined;
    assert.deepEqual(fault.shown, index === undefined ? lastNote : undefined);
    await endsTheTrust(lie, { reason, held, included });
    assert.equal(cities.shenzhen.running.replica.reader.faults().at(-1)?.reason, reason);
  });
}

/** Nothing more is taken, submitted or cosigned, and what was there stays. */
async function endsTheTrust(
  lie: Lie,
  { reason, held, included }: { reason: ReasonCode; held: Uint8Array; included: bigint },
): Promise<void> {
  const { cities, sequencer } = lie;
  const { replica, engine, witness } = cities.shenzhen.running;
  const [, batch] = cities.ledger.batches;
  assert.ok(batch !== undefined);
  await assert.rejects(engine.submit(batch), { code: reason });
  const answer = await witness?.addCheckpoint(
    formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint: held }),
  );
  assert.equal(answer?.status, 503);
  const next = cities.ledger.fork();
  await next.appendEvidence(provider(lie), [statusRecord(4)]);
  sequencer.items.splice(0, Number.POSITIVE_INFINITY, batchOf(next, 2));
  const asked = sequencer.starts.length;
  if (replica.fault()?.term === undefined) await new Promise((resolve) => setTimeout(resolve, 300));
  else await until(() => sequencer.starts.length > asked, "it looks for a later term");
  assert.equal(replica.state().size, included);
  assert.notEqual(replica.fault(), undefined);
}
