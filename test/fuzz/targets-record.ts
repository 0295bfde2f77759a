/** Trees, headers, records, batches and proofs. */
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  concatBytes,
  parseBase64,
  parseBase64url,
  parseHex,
  parseUtf8,
  toBase64,
  toBase64url,
  toHex,
  utf8,
} from "../../src/base/bytes.ts";
import { isReasonCode, type ReasonCode } from "../../src/base/reasons.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import { ProofSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { BatchSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import {
  type AttributeValue,
  AttributeValueSchema,
  type CallStatement,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { type Effects, EffectsSchema } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import { decodeEntryBundle, encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { hashBytes, leafHash } from "../../src/merkle/hash.ts";
import { parseTreeSize } from "../../src/merkle/size.ts";
import { parseTile, readTile } from "../../src/merkle/tile-hashes.ts";
import { TileReader } from "../../src/merkle/tile-reader.ts";
import { formatTilePath, parseTilePath, type Tile } from "../../src/merkle/tile-path.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import {
  createAttributeValue,
  decodeAttributeValue,
  encodeAttributeValue,
  readAttributeValue,
} from "../../src/policy/attributes.ts";
import { openBatch } from "../../src/record/batch.ts";
import {
  callPaths,
  encodeCallStatement,
  openCallStatement,
  verifyCallPath,
} from "../../src/record/call-tree.ts";
import { decodeCanonical, encodeCanonical } from "../../src/record/canonical.ts";
import {
  formatAddress,
  formatHandle,
  parseAddress,
  parseHandle,
  type RecordAddress,
  type RecordHandle,
} from "../../src/record/handle.ts";
import { proveInclusion } from "../../src/merkle/prove.ts";
import { toSealedBatch } from "../../gateway/ledger/ledger-messages.ts";
import { encodeHeader, openHeader } from "../../src/record/header.ts";
import { openLeaf, type ParsedLeaf, parseLeaf, verifyLeaf } from "../../src/record/leaf.ts";
import { proveRecord, verifyRecordPath, verifyRecordProof } from "../../src/record/proof.ts";
import { encodeRecord, type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { callStatement } from "../support/parts.ts";
import { effects, header, recordsByCase } from "../support/records.ts";
import { audit, consistency, leaves, oldSize, provenIndex, size, treeReader } from "./samples.ts";

import { type Target, textOf } from "./target.ts";

const canonical: readonly ReasonCode[] = ["TOO_LARGE", "MALFORMED", "NOT_CANONICAL"];
const ofHeader: readonly ReasonCode[] = [...canonical, "BATCH_INVALID", "SEEN_INVALID"];

/** Values of an arbitrary, the same in every run. */
function drawn<T>(arbitrary: fc.Arbitrary<T>, count: number): readonly T[] {
  return fc.sample(arbitrary, { seed: 4, numRuns: count });
}

const batches = audit.ledger.batches;
const wide = batches.find(({ records }) => records.length > 2) ?? batches[0];
if (wide === undefined) throw new Error("the ledger has a batch");
const callBytes = drawn(callStatement, 5).map(encodeCallStatement);
const callTree = callPaths(callBytes);
const attributes: readonly AttributeValue[] = [true, -12n, "text 文", ["a", "b"], []].map((value) =>
  createAttributeValue(value),
);

function encoded<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

/** 32-byte hashes one after another, as the hashes of a proof. */
function hashesOf(input: Uint8Array): readonly Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < input.length; at += hashBytes) hashes.push(input.slice(at, at + hashBytes));
  return hashes;
}

const text = (value: string): Uint8Array => utf8(value);

/** One target for each body of a record. */
const records: readonly Target[] = Object.entries(recordsByCase).map(([name, arbitrary]) => ({
  name: `the ${name} record`,
  covers: ["src/record/record.ts openRecord", "src/record/canonical-reader.ts readCanonical"],
  samples: drawn(arbitrary, 8).map(encodeRecord),
  read: (input) => openRecord(input),
  print: (record: LedgerRecord) => encodeRecord(record),
  reasons: canonical,
}));

const trees: readonly Target[] = [
  {
    name: "an entry bundle",
    covers: ["src/merkle/entry-bundle.ts decodeEntryBundle"],
    samples: [encodeEntryBundle(leaves)],
    read: (input) => decodeEntryBundle(input, leaves.length),
    print: (entries: readonly Uint8Array[]) => encodeEntryBundle(entries),
    reasons: ["MALFORMED"],
  },
  {
    name: "a tile that is not checked yet",
    covers: ["src/merkle/tile-hashes.ts parseTile"],
    samples: [readTile({ level: 0, index: 0n, width: leaves.length }, treeReader)],
    read: (input) => parseTile(input, leaves.length),
    print: (hashes: readonly Uint8Array[]) => concatBytes(...hashes),
    reasons: ["MALFORMED"],
  },
  {
    name: "a tile under a trusted root",
    covers: ["src/merkle/tile-reader.ts TileReader"],
    samples: [readTile({ level: 0, index: 0n, width: leaves.length }, treeReader)],
    read: async (input) => {
      const root = audit.ledger.rootAt(size) as Uint8Array;
      const tiles = await TileReader.open({ size, root }, { fetchTile: async () => input });
      return tiles.hashes(0, 0n);
    },
    sealed: true,
    reasons: ["MALFORMED", "PROOF_INVALID"],
  },
  {
    name: "an inclusion proof",
    covers: ["src/merkle/verify.ts verifyInclusion"],
    samples: [concatBytes(...proveInclusion({ index: provenIndex, size, reader: treeReader }))],
    read: (input) =>
      verifyInclusion({
        leafHash: leafHash(leaves[provenIndex] as Uint8Array),
        index: provenIndex,
        size,
        root: audit.ledger.rootAt(size) as Uint8Array,
        proof: hashesOf(input),
      }),
    isRefusal: (value) => value === false,
    sealed: true,
    reasons: ["PROOF_INVALID"],
  },
  {
    name: "a consistency proof",
    covers: ["src/merkle/verify.ts verifyConsistency"],
    samples: [concatBytes(...consistency)],
    read: (input) =>
      verifyConsistency({
        size1: oldSize,
        root1: audit.ledger.rootAt(oldSize) as Uint8Array,
        size2: size,
        root2: audit.ledger.rootAt(size) as Uint8Array,
        proof: hashesOf(input),
      }),
    isRefusal: (value) => value === false,
    sealed: true,
    reasons: ["PROOF_INVALID"],
  },
];

const batchTargets: readonly Target[] = [
  {
    name: "a header",
    covers: ["src/record/header.ts openHeader"],
    samples: drawn(header, 8).map(encodeHeader),
    read: (input) => openHeader(input),
    print: (opened: ReturnType<typeof openHeader>) => encodeHeader(opened),
    reasons: ofHeader,
  },
  {
    name: "a leaf",
    covers: ["src/record/leaf.ts parseLeaf", "src/record/leaf.ts openLeaf"],
    samples: leaves,
    read: (input) => (openLeaf(input), parseLeaf(input)),
    print: ({ signature, header: opened }: ParsedLeaf) =>
      concatBytes(signature, encodeHeader(opened)),
    reasons: ofHeader,
  },
  {
    name: "a leaf and its signature",
    covers: ["src/record/leaf.ts verifyLeaf"],
    samples: leaves.filter((leaf) => openLeaf(leaf).header.gateway === audit.provider.id),
    read: (input) =>
      verifyLeaf({
        leaf: parseLeaf(input),
        publicKey: audit.provider.batch.publicKey,
        verifier: audit.network.verifier,
      }) ?? true,
    sealed: true,
    reasons: [...ofHeader, "KEY_UNKNOWN", "SIGNATURE_INVALID"],
  },
  {
    name: "a batch with its bodies",
    covers: ["src/record/batch.ts openBatch", "gateway/ledger/ledger-messages.ts toSealedBatch"],
    samples: batches.map(({ leaf, records: bodies }) =>
      encoded(BatchSchema, { leaf, records: [...bodies] }),
    ),
    read: (input) => openBatch(toSealedBatch(decodeMessage(BatchSchema, input))),
    reasons: ofHeader,
  },
  {
    name: "the proof of a record",
    covers: ["src/record/proof.ts verifyRecordProof", "src/record/proof.ts verifyRecordPath"],
    samples: wide.records.map((_, position) => {
      const { record, path, leaf } = proveRecord(wide, position);
      return encoded(ProofSchema, { record, position, path: [...path], leaf });
    }),
    read: (input) => {
      const proof = decodeMessage(ProofSchema, input);
      const { leaf } = verifyRecordProof(proof);
      return verifyRecordPath({ ...proof, header: leaf.header });
    },
    reasons: [...ofHeader, "PROOF_INVALID"],
  },
  {
    name: "a call statement",
    covers: ["src/record/call-tree.ts openCallStatement"],
    samples: callBytes,
    read: (input) => openCallStatement(input),
    print: (statement: CallStatement) => encodeCallStatement(statement),
    reasons: canonical,
  },
  {
    name: "a call statement under its token's root",
    covers: ["src/record/call-tree.ts verifyCallPath"],
    samples: [callBytes[2] as Uint8Array],
    read: (statement) =>
      verifyCallPath({
        statement,
        index: 2,
        count: callBytes.length,
        path: callTree.paths[2] as readonly Uint8Array[],
        root: callTree.root,
      }),
    isRefusal: (value) => value === false,
    sealed: true,
    reasons: [],
  },
  {
    name: "the path of a call statement",
    covers: ["src/record/call-tree.ts verifyCallPath"],
    samples: [concatBytes(...(callTree.paths[2] as readonly Uint8Array[]))],
    read: (input) =>
      verifyCallPath({
        statement: callBytes[2] as Uint8Array,
        index: 2,
        count: callBytes.length,
        path: hashesOf(input),
        root: callTree.root,
      }),
    isRefusal: (value) => value === false,
    sealed: true,
    reasons: [],
  },
  {
    name: "registry effects",
    covers: ["src/record/canonical.ts decodeCanonical"],
    samples: drawn(effects, 8).map((one) => encodeCanonical(EffectsSchema, one)),
    read: (input) => decodeCanonical(EffectsSchema, input, { maxBytes: 64 * 1024 }),
    print: (one: Effects) => encodeCanonical(EffectsSchema, one),
    reasons: canonical,
  },
  {
    name: "an attribute's value",
    covers: ["src/policy/attributes.ts decodeAttributeValue"],
    samples: attributes.map(encodeAttributeValue),
    read: (input) => decodeAttributeValue(input),
    print: (value: AttributeValue) => encodeAttributeValue(value),
    reasons: ["NOT_CANONICAL"],
  },
  {
    name: "a recorded attribute",
    covers: ["src/policy/attributes.ts readAttributeValue"],
    samples: attributes.map(encodeAttributeValue),
    read: (input) => readAttributeValue(decodeMessage(AttributeValueSchema, input)) ?? true,
    reasons: ["MALFORMED", "NOT_CANONICAL"],
  },
];

const texts: readonly Target[] = [
  {
    name: "a tile's path",
    covers: ["src/merkle/tile-path.ts parseTilePath"],
    samples: [
      "tile/0/000",
      "tile/0/x001/x234/067.p/12",
      "tile/entries/x009/999",
      "tile/63/000.p/255",
    ].map(text),
    text: true,
    read: (input) => parseTilePath(textOf(input)),
    print: (tile: Tile) => text(formatTilePath(tile)),
    reasons: [],
  },
  {
    name: "a tree size",
    covers: ["src/merkle/size.ts parseTreeSize"],
    samples: ["0", "70000", "9223372036854775807"].map(text),
    text: true,
    read: (input) => parseTreeSize(textOf(input)),
    print: (value: bigint) => text(String(value)),
    reasons: [],
  },
  {
    name: "a record's handle",
    covers: ["src/record/handle.ts parseHandle"],
    samples: [text(formatHandle(leafHash(leaves[1] as Uint8Array), 4095))],
    text: true,
    read: (input) => parseHandle(textOf(input)),
    print: (handle: RecordHandle) => text(formatHandle(handle.leafHash, handle.position)),
    reasons: [],
  },
  {
    name: "a record's address",
    covers: ["src/record/handle.ts parseAddress"],
    samples: ["0/0", "9223372036854775807/4095"].map(text),
    text: true,
    read: (input) => parseAddress(textOf(input)),
    print: (address: RecordAddress) => text(formatAddress(address.index, address.position)),
    reasons: [],
  },
  {
    name: "hexadecimal text",
    covers: ["src/base/bytes.ts parseHex"],
    samples: [text("00ff10"), text(audit.network.idHex)],
    text: true,
    read: (input) => parseHex(textOf(input)),
    print: (bytes: Uint8Array) => text(toHex(bytes)),
    reasons: [],
  },
  {
    name: "base64 text",
    covers: ["src/base/bytes.ts parseBase64"],
    samples: ["", "AA==", "AAA=", toBase64(leaves[0] as Uint8Array)].map(text),
    text: true,
    read: (input) => parseBase64(textOf(input)),
    print: (bytes: Uint8Array) => text(toBase64(bytes)),
    reasons: [],
  },
  {
    name: "base64url text",
    covers: ["src/base/bytes.ts parseBase64url"],
    samples: ["", "AA", "AAA", toBase64url(leaves[0] as Uint8Array)].map(text),
    text: true,
    read: (input) => parseBase64url(textOf(input)),
    print: (bytes: Uint8Array) => text(toBase64url(bytes)),
    reasons: [],
  },
  {
    name: "UTF-8",
    covers: ["src/base/bytes.ts parseUtf8"],
    samples: ["", "plain", "两城 😀"].map(text),
    read: (input) => parseUtf8(input),
    print: (value: string) => text(value),
    reasons: [],
  },
  {
    name: "a reason code",
    covers: ["src/base/reasons.ts isReasonCode"],
    samples: [text("BUSY")],
    text: true,
    read: (input) => isReasonCode(textOf(input)),
    isRefusal: (value) => value === false,
    reasons: [],
  },
];

export const recordTargets: readonly Target[] = [...records, ...trees, ...batchTargets, ...texts];
