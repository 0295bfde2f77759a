/** Arbitrary canonical headers, records and batches, and a few fixed ones. */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { importSigner } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { BatchKind, HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import type {
  Begin,
  Call,
  CallStatement,
  Decision,
  Fact,
  Handle,
  Obligations,
  Progress,
  Status,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  AddressSchema,
  AttributeSource,
  BeginSchema,
  CallSchema,
  CallStatementSchema,
  DecisionReasonSchema,
  DecisionSchema,
  Durability,
  FactSchema,
  HandleSchema,
  ObligationsSchema,
  PersonalAttributeSchema,
  ProgressSchema,
  PublicAttributeSchema,
  StatusSchema,
  StatusSource,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
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
import { encodeCallStatement } from "../../src/record/call-tree.ts";
import { sortCanonical, sortTexts } from "../../src/record/canonical.ts";
import type { LedgerRecord, RecordKind } from "../../src/record/record.ts";
import { encodeRecord } from "../../src/record/record.ts";

/** A signer of tests, from a seed of one repeated byte. */
export function testSigner(fill: number): Signer {
  return importSigner(new Uint8Array(32).fill(fill));
}

export const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
export const hash32: fc.Arbitrary<Uint8Array> = bytesOf(32);
const maybeHash32 = fc.oneof(fc.constant(new Uint8Array(0)), hash32);

export const uint32: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16383, 16384, 0x7fffffff, 0xffffffff),
  fc.integer({ min: 0, max: 0xffffffff }),
);
export const uint64: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 49n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 56n, 2n ** 63n),
  fc.constant(2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

const printableUnit = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
/** A string of 0x21 to 0x7E, often longer than what a reader handles in a loop. */
export const printable: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: printableUnit, maxLength: 12 }),
  fc.string({ unit: printableUnit, minLength: 30, maxLength: 40 }),
);
const unicode = fc.string({ unit: "binary", maxLength: 12 });
const integer64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);

const idUnit = fc.constantFrom(..."abcxyz019-");
const idLevel = fc
  .tuple(fc.constantFrom(..."abcxyz"), fc.string({ unit: idUnit, maxLength: 31 }))
  .map(([first, rest]) => first + rest);
/** A gateway or data service id. */
export const id3: fc.Arbitrary<string> = fc
  .tuple(idLevel, idLevel, idLevel)
  .map((levels) => levels.join("/"));

const uuidV7 = fc
  .tuple(fc.integer({ min: 1_500_000_000, max: 4_000_000_000 }), bytesOf(10))
  .map(([seconds, random]) => createUuidV7(seconds * 1000, random));

function enumNumber(numbers: Readonly<Record<string, string | number>>): fc.Arbitrary<number> {
  const known = Object.values(numbers).filter((n): n is number => typeof n === "number" && n !== 0);
  return fc.constantFrom(...known);
}

/** Optional members are sometimes absent, so that every presence is met. */
function messageOf<Desc extends DescMessage>(
  schema: Desc,
  members: { readonly [name: string]: fc.Arbitrary<unknown> },
): fc.Arbitrary<MessageShape<Desc>> {
  return fc.record(members).map((init) => create(schema, init as MessageInitShape<Desc>));
}

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

function sortedOf<Desc extends DescMessage>(
  schema: Desc,
  arbitrary: fc.Arbitrary<MessageShape<Desc>>,
): fc.Arbitrary<MessageShape<Desc>[]> {
  return fc.array(arbitrary, { maxLength: 4 }).map((list) => sortCanonical(schema, list));
}

const sortedTexts = (arbitrary: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.array(arbitrary, { maxLength: 4 }).map(sortTexts);

const address = messageOf(AddressSchema, { index: uint64, position: uint32 });

export const handle: fc.Arbitrary<Handle> = messageOf(HandleSchema, {
  leafHash: hash32,
  position: uint32,
});

export const fact: fc.Arbitrary<Fact> = messageOf(FactSchema, {
  name: fc.oneof(
    fc.record({ case: fc.constant("address"), value: address }),
    fc.record({ case: fc.constant("record"), value: fc.record({ hash: hash32 }) }),
  ),
});

export const callStatement: fc.Arbitrary<CallStatement> = messageOf(CallStatementSchema, {
  xid: uuidV7,
  attempt: uint32,
  service: id3,
  method: printable,
  grant: address,
  purpose: printable,
  request: maybeHash32,
  open: fc.boolean(),
  case: maybeHash32,
  official: maybeHash32,
  idempotency: maybeHash32,
});

export const call: fc.Arbitrary<Call> = messageOf(CallSchema, {
  token: printable,
  statement: callStatement.map(encodeCallStatement),
  index: fc.nat({ max: 63 }),
  path: fc.array(hash32, { maxLength: 6 }),
});

const attributeValue = fc.oneof(
  fc.record({ case: fc.constant("boolean"), value: fc.record({ value: fc.boolean() }) }),
  fc.record({ case: fc.constant("integer"), value: fc.record({ decimal: integer64 }) }),
  fc.record({ case: fc.constant("text"), value: fc.record({ text: unicode }) }),
  fc.record({ case: fc.constant("textSet"), value: fc.record({ texts: sortedTexts(unicode) }) }),
);

export const decision: fc.Arbitrary<Decision> = messageOf(DecisionSchema, {
  decidedSize: uint64,
  evaluatedAt: uint64,
  grant: address,
  grantJti: uuidV7.map(formatUuid),
  service: address,
  serviceVersion: uint64,
  descriptorDigest: hash32,
  policy: maybe(address),
  policyDigest: maybeHash32,
  schemaDigest: maybeHash32,
  engineName: printable,
  engineVersion: printable,
  engineDigest: maybeHash32,
  publicAttributes: sortedOf(
    PublicAttributeSchema,
    messageOf(PublicAttributeSchema, {
      name: printable,
      source: enumNumber(AttributeSource),
      value: fc.record({ value: attributeValue }),
    }),
  ),
  personalAttributes: sortedOf(
    PersonalAttributeSchema,
    messageOf(PersonalAttributeSchema, {
      name: printable,
      source: enumNumber(AttributeSource),
      commitment: hash32,
    }),
  ),
  verdict: enumNumber(Verdict),
  reasons: sortedOf(
    DecisionReasonSchema,
    messageOf(DecisionReasonSchema, { code: printable, policyId: printable }),
  ),
  quota: maybe(
    fc.record({
      periodStart: uint64,
      usedOnLedger: uint64,
      usedInChain: uint64,
      reserved: uint64,
      limit: uint64,
    }),
  ),
  earlyFacts: sortedOf(FactSchema, fact),
});

export const obligations: fc.Arbitrary<Obligations> = messageOf(ObligationsSchema, {
  maskDigest: maybeHash32,
  maskPaths: sortedTexts(printable),
  messagesMax: uint64,
  bytesMax: uint64,
  durability: enumNumber(Durability),
  window: uint32,
  metadataAllowed: sortedTexts(printable),
});

export const progress: fc.Arbitrary<Progress> = messageOf(ProgressSchema, {
  segment: uint32,
  framesFirst: uint64,
  framesEnd: uint64,
  messages: uint64,
  bytesBucket: uint32,
  request: hash32,
  requestFrames: uint64,
  response: hash32,
  upstream: maybeHash32,
});

export const status: fc.Arbitrary<Status> = messageOf(StatusSchema, {
  grpcCode: fc.nat({ max: 16 }),
  source: enumNumber(StatusSource),
  reason: printable,
  status: hash32,
});

export const begin: fc.Arbitrary<Begin> = messageOf(BeginSchema, {
  call,
  decision,
  obligations,
  peerTlsKey: hash32,
});

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
