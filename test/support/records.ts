/** Arbitrary canonical headers, records and batches. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { importSigner } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { BatchKind, HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import type { Recheck } from "../../src/gen/causeway/record/v1/record_pb.ts";
import {
  Check,
  Outcome,
  RecheckSchema,
  RecordSchema,
  Side,
  Stage,
  UpstreamConnector,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { Effects } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import {
  EffectKind,
  EffectsSchema,
  ResultKind,
} from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import type { BatchFields, CreatedBatch } from "../../src/record/batch.ts";
import { sealBatch } from "../../src/record/batch.ts";
import type { LedgerRecord, RecordKind } from "../../src/record/record.ts";
import { encodeRecord } from "../../src/record/record.ts";
import {
  begin,
  bytesOf,
  call,
  decision,
  enumNumber,
  fact,
  handle,
  hash32,
  id3,
  maybe,
  maybeHash32,
  messageOf,
  printable,
  progress,
  status,
  uint32,
  uint64,
  uuidV7,
} from "./parts.ts";

/** A signer of tests, from a seed of one repeated byte. */
export function testSigner(fill: number): Signer {
  return importSigner(new Uint8Array(32).fill(fill));
}

export const recheck: fc.Arbitrary<Recheck> = messageOf(RecheckSchema, { seenSize: uint64, fact });

function recordOf(
  name: NonNullable<LedgerRecord["body"]["case"]>,
  members: { readonly [name: string]: fc.Arbitrary<unknown> },
): fc.Arbitrary<LedgerRecord> {
  return fc
    .record(members)
    .map((value) =>
      create(RecordSchema, { body: { case: name, value } } as MessageInitShape<
        typeof RecordSchema
      >),
    );
}

const noteBytes = fc.uint8Array({ maxLength: 200 });

const governance = {
  statement: recordOf("statement", { jws: fc.array(printable, { maxLength: 3 }) }),
  equivocationReported: recordOf("equivocationReported", {
    proof: fc.oneof(
      fc.record({
        case: fc.constant("headers"),
        value: fc.record({ firstLeaf: noteBytes, secondLeaf: noteBytes }),
      }),
      fc.record({
        case: fc.constant("checkpoints"),
        value: fc.record({ firstNote: noteBytes, secondNote: noteBytes }),
      }),
    ),
  }),
};

const evidence = {
  opened: recordOf("opened", { begin }),
  receipt: recordOf("receipt", {
    start: fc.oneof(
      fc.record({ case: fc.constant("begin"), value: begin }),
      fc.record({ case: fc.constant("prevRecord"), value: fc.record({ hash: hash32 }) }),
    ),
    progress,
    status: maybe(status),
    final: fc.boolean(),
    connector: enumNumber(UpstreamConnector),
    upstreamMsBucket: uint32,
  }),
  acknowledgement: recordOf("acknowledgement", {
    xid: uuidV7,
    attempt: uint32,
    tokenDigest: hash32,
    index: uint32,
    receipt: handle,
    receiptRecord: hash32,
    progress,
    check: enumNumber(Check),
    final: fc.boolean(),
    callerSystem: printable,
    localRule: printable,
  }),
  refusal: recordOf("refusal", {
    side: enumNumber(Side),
    stage: enumNumber(Stage),
    reason: printable,
    caller: fc.oneof(
      fc.record({ case: fc.constant("peer"), value: fc.record({ gateway: id3, tlsKey: hash32 }) }),
      fc.record({ case: fc.constant("system"), value: fc.record({ id: printable }) }),
    ),
    call: maybe(call),
    callCommitment: maybeHash32,
    method: printable,
    methodCommitment: maybeHash32,
    decision: maybe(decision),
    recheck: maybe(recheck),
    upstreamCalled: fc.boolean(),
    grpcCode: fc.nat({ max: 16 }),
    aggregate: maybe(fc.record({ count: uint64, firstAt: uint64, lastAt: uint64 })),
  }),
  closed: recordOf("closed", {
    side: enumNumber(Side),
    xid: uuidV7,
    attempt: uint32,
    tokenDigest: maybeHash32,
    index: uint32,
    call: maybe(call),
    prevRecord: maybeHash32,
    outcome: enumNumber(Outcome),
    decision: maybe(decision),
    recheck: maybe(recheck),
    upstreamCalled: fc.boolean(),
    frames: uint64,
    status: maybe(status),
    refusal: maybe(handle),
    nextAttempt: uint32,
  }),
  openingsErased: recordOf("openingsErased", { count: uint64, root: hash32 }),
  gatewayStatus: recordOf("gatewayStatus", {
    gatewayVersion: printable,
    engineVersion: printable,
    runtimeVersion: printable,
    openAttempts: uint64,
    batchesNotFinal: uint64,
  }),
};

const receiptMissing = recordOf("receiptMissing", {
  leaf: fc.uint8Array({ minLength: 65, maxLength: 200 }),
  record: evidence.receipt.map(encodeRecord),
  position: fc.nat({ max: 4095 }),
  path: fc.array(hash32, { maxLength: 12 }),
  since: uint64,
});

/** One arbitrary for each body of a record. */
export const recordsByCase: Readonly<
  Record<NonNullable<LedgerRecord["body"]["case"]>, fc.Arbitrary<LedgerRecord>>
> = { ...governance, ...evidence, receiptMissing };

/** Any record of a kind. */
export function recordOfKind(kind: RecordKind): fc.Arbitrary<LedgerRecord> {
  return kind === "governance"
    ? fc.oneof(...Object.values(governance))
    : fc.oneof(...Object.values(evidence), receiptMissing);
}

export const anyRecord: fc.Arbitrary<LedgerRecord> = fc.oneof(...Object.values(recordsByCase));
export const recordKind: fc.Arbitrary<RecordKind> = fc.constantFrom("governance", "evidence");

const seen = fc.oneof(
  fc.constant({ size: 0n, root: emptyRoot }),
  fc.record({ size: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), root: hash32 }),
);
const times = fc
  .tuple(fc.nat({ max: 2 ** 31 }), fc.integer({ min: 0, max: 4e12 }))
  .map(([span, firstAtMs]) => ({ firstAtMs, sealedAtMs: firstAtMs + span }));

/** What a gateway says of a batch of `kind`. */
export function batchFields(kind: RecordKind): fc.Arbitrary<BatchFields> {
  const index63 = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
  return fc
    .record({
      network: hash32,
      gateway: id3,
      epoch: index63,
      boot: bytesOf(16),
      seq: index63,
      prev: hash32,
      seen,
      times,
    })
    .map(({ times: { firstAtMs, sealedAtMs }, ...fields }) => ({
      ...fields,
      kind,
      firstAtMs,
      sealedAtMs,
    }));
}

/** A header that opens. */
export const header: fc.Arbitrary<Header> = fc
  .tuple(
    recordKind.chain(batchFields),
    bytesOf(8),
    fc.integer({ min: 1, max: 4096 }),
    fc.integer({ min: 4096, max: 512 * 1024 }),
    hash32,
  )
  .map(([fields, key, count, bodyBytes, recordsRoot]) =>
    create(HeaderSchema, {
      version: 1,
      kind: fields.kind === "governance" ? BatchKind.GOVERNANCE : BatchKind.EVIDENCE,
      network: fields.network,
      gateway: fields.gateway,
      key,
      epoch: fields.epoch,
      boot: fields.boot,
      seq: fields.seq,
      prev: fields.prev,
      count,
      bodyBytes,
      recordsRoot,
      seenSize: fields.seen.size,
      seenRoot: fields.seen.root,
      firstAt: BigInt(fields.firstAtMs),
      sealedAt: BigInt(fields.sealedAtMs),
    }),
  );

/** A sealed batch of 1 to `recordsMax` records, signed with `testSigner(1)`. */
export function sealedBatch(recordsMax = 5): fc.Arbitrary<CreatedBatch> {
  return recordKind
    .chain((kind) =>
      fc.tuple(
        batchFields(kind),
        fc.array(recordOfKind(kind).map(encodeRecord), { minLength: 1, maxLength: recordsMax }),
      ),
    )
    .map(([fields, records]) => sealBatch(fields, records, testSigner(1)));
}

export const metadata: fc.Arbitrary<Metadata> = messageOf(MetadataSchema, {
  entries: fc.array(fc.record({ key: printable, value: fc.uint8Array({ maxLength: 20 }) }), {
    maxLength: 5,
  }),
});

export const statusFrame: fc.Arbitrary<StatusFrame> = messageOf(StatusFrameSchema, {
  code: fc.nat({ max: 16 }),
  message: fc.uint8Array({ maxLength: 30 }),
  details: fc.uint8Array({ maxLength: 30 }),
  trailers: maybe(metadata),
});

export const effects: fc.Arbitrary<Effects> = messageOf(EffectsSchema, {
  effects: fc.array(
    fc.record({
      position: fc.nat({ max: 4095 }),
      kind: enumNumber(EffectKind),
      results: fc.array(fc.record({ kind: enumNumber(ResultKind), subject: printable }), {
        maxLength: 3,
      }),
    }),
    { maxLength: 4 },
  ),
});
