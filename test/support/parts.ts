/** Arbitrary values, and the parts that canonical records are built from. */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
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
import { encodeCallStatement } from "../../src/record/call-tree.ts";
import { sortCanonical, sortTexts } from "../../src/record/canonical.ts";

export const bytesOf = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });
export const hash32: fc.Arbitrary<Uint8Array> = bytesOf(32);
export const maybeHash32: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.constant(new Uint8Array(0)),
  hash32,
);

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

const idUnit = fc.constantFrom("a", "b", "x", "z", "0", "1", "9", "-");
const idLevel = fc
  .tuple(fc.constantFrom("a", "b", "x", "z"), fc.string({ unit: idUnit, maxLength: 31 }))
  .map(([first, rest]) => first + rest);
/** A gateway or data service id. */
export const id3: fc.Arbitrary<string> = fc
  .tuple(idLevel, idLevel, idLevel)
  .map((levels) => levels.join("/"));

export const uuidV7: fc.Arbitrary<Uint8Array> = fc
  .tuple(fc.integer({ min: 1_500_000_000, max: 4_000_000_000 }), bytesOf(10))
  .map(([seconds, random]) => createUuidV7(seconds * 1000, random));

export function enumNumber(
  numbers: Readonly<Record<string, string | number>>,
): fc.Arbitrary<number> {
  const known = Object.values(numbers).filter((n): n is number => typeof n === "number" && n !== 0);
  return fc.constantFrom(...known);
}

/** Optional members are sometimes absent, so that every presence is met. */
export function messageOf<Desc extends DescMessage>(
  schema: Desc,
  members: { readonly [name: string]: fc.Arbitrary<unknown> },
): fc.Arbitrary<MessageShape<Desc>> {
  return fc.record(members).map((init) => create(schema, init as MessageInitShape<Desc>));
}

export const maybe: <T>(arbitrary: fc.Arbitrary<T>) => fc.Arbitrary<T | undefined> = <T>(
  arbitrary: fc.Arbitrary<T>,
): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

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
