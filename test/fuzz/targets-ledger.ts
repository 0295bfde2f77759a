/** What members say to each other of the ledger, what lies on disks, and the files that people pass on. */
import { create, toBinary } from "@bufbuild/protobuf";
import { toFollowItems, toSubmitResults } from "../../gateway/ledger/ledger-messages.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import { decodeExport, type ExportEntry } from "../../src/audit/export-file.ts";
import { collectEvidence } from "../../src/evidence/collect.ts";
import { opensOne } from "../../src/evidence/openings.ts";
import { type EvidencePackage, formatEvidence, parseEvidence } from "../../src/evidence/package.ts";
import { verifyEvidence } from "../../src/evidence/verify.ts";
import {
  FollowResponseSchema,
  SubmitResponseSchema,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { namedBlobs } from "../../src/ledger/embedded/blob-names.ts";
import { formatBody, parseBody } from "../../src/ledger/embedded/bodies.ts";
import {
  formatStartEvidence,
  parseStartEvidence,
} from "../../src/ledger/embedded/start-evidence.ts";
import type { StartEvidence } from "../../src/ledger/embedded/term-start.ts";
import { frame, unframe } from "../../src/ledger/journal/framing.ts";
import { decodeSealJob, encodeSealJob } from "../../src/ledger/journal/seal-message.ts";
import { decodeOpening, encodeOpening, type Opening } from "../../src/ledger/openings/opening.ts";
import { createOpeningsCipher } from "../../src/ledger/openings/openings-cipher.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/registry/snapshot.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import { openRecord } from "../../src/record/record.ts";
import { iterate } from "../audit/audit-ledger.ts";
import { audit, note } from "./samples.ts";
import { type Target, textOf } from "./target.ts";

const { ledger, network, entries } = audit;
const exported = await audit.bytes();
const receiptIndex = ledger.batches.findIndex(
  ({ records }) => openRecord(records[0] as Uint8Array).body.case === "receipt",
);
const evidence = await collectEvidence({
  readEntries: () => iterate(entries),
  networkId: network.id,
  verifier: network.verifier,
  target: { index: BigInt(receiptIndex), position: 0 },
});
const receipt = openRecord(ledger.batches[receiptIndex]?.records[0] as Uint8Array);

const first = ledger.batches[0] as (typeof ledger.batches)[number];
const follow = [
  create(FollowResponseSchema, {
    item: {
      case: "batches",
      value: { index: 0n, batches: [{ leaf: first.leaf, records: [...first.records] }] },
    },
  }),
  create(FollowResponseSchema, {
    item: { case: "head", value: { note, registryDigest: ledger.state.digest } },
  }),
  create(FollowResponseSchema, { item: { case: "final", value: { note } } }),
].map((item) => toBinary(FollowResponseSchema, item));

const submitted = [
  { case: "included" as const, value: { index: 7n } },
  { case: "rejected" as const, value: { reason: "CHAIN_GAP", atSize: 9n } },
]
  .map((result) => create(SubmitResponseSchema, { results: [{ result }] }))
  .map((response) => toBinary(SubmitResponseSchema, response));

const [hash, other] = [sha256(utf8("hash")), sha256(utf8("other"))];
const startEvidence: StartEvidence = {
  start: 70_000n,
  conflict: { smaller: "hangzhou", larger: "wuhan", root: hash, consistency: [other, hash] },
  parts: [
    { city: "chengdu", root: hash, leafHash: other, consistency: [], inclusion: [hash] },
    { city: "wuhan", root: other, leafHash: hash, consistency: [hash, other], inclusion: [] },
  ],
};

const opening: Opening = {
  seed: sha256(utf8("seed")),
  salts: new Map([["response", sha256(utf8("salt"))]]),
  values: new Map([
    ["case", utf8("case 7")],
    ["official", utf8("official")],
  ]),
};
const cipher = createOpeningsCipher(sha256(utf8("key")));
const openingRow = { id: utf8("id"), rowKey: new Uint8Array(32).fill(1) };

/** Pieces of a file in the sizes that its own bytes choose: 1 to 256. */
function* pieces(input: Uint8Array): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < input.length; i++) {
    const length = 1 + ((input[(i * 31) % input.length] as number) ^ (i & 255));
    yield input.subarray(at, at + length);
    at += length;
  }
}

async function entriesOf(chunks: Iterable<Uint8Array>): Promise<readonly ExportEntry["kind"][]> {
  const kinds: ExportEntry["kind"][] = [];
  for await (const entry of decodeExport(chunks)) kinds.push(entry.kind);
  return kinds;
}

async function readExport(input: Uint8Array): Promise<readonly string[]> {
  const whole = entriesOf([input]);
  const cut = entriesOf(pieces(input));
  // The other one's error is the same; nobody waits for it.
  cut.catch(() => undefined);
  return (await whole).length === (await cut).length ? whole : Promise.reject(new Error("cut"));
}

const sealJob = encodeSealJob({
  kind: "evidence",
  seen: { size: 4n, root: sha256(utf8("root")) },
  firstAtMs: network.startMs,
  sealedAtMs: network.startMs + 1,
  records: [
    {
      record: first.records[0] as Uint8Array,
      states: [{ key: "one", value: utf8("value") }, { key: "gone" }],
    },
  ],
} as never);

export const ledgerTargets: readonly Target[] = [
  {
    name: "an item of the follow stream",
    covers: ["gateway/ledger/ledger-messages.ts toFollowItems"],
    samples: follow,
    read: (input) => toFollowItems(decodeMessage(FollowResponseSchema, input)),
    reasons: ["MALFORMED"],
  },
  {
    name: "the answer to a submit",
    covers: ["gateway/ledger/ledger-messages.ts toSubmitResults"],
    samples: submitted,
    read: (input) => toSubmitResults(decodeMessage(SubmitResponseSchema, input), 1),
    reasons: ["MALFORMED"],
  },
  {
    name: "the blobs that a record names",
    covers: ["src/ledger/embedded/blob-names.ts namedBlobs"],
    samples: ledger.batches.flatMap(({ records }) => records),
    read: (input) => namedBlobs([input]),
    reasons: ["TOO_LARGE", "MALFORMED", "NOT_CANONICAL"],
  },
  {
    name: "the evidence of a term's start",
    covers: ["src/ledger/embedded/start-evidence.ts parseStartEvidence"],
    samples: [formatStartEvidence(startEvidence)],
    read: (input) => parseStartEvidence(input),
    print: (one: StartEvidence) => formatStartEvidence(one),
    reasons: ["TOO_LARGE", "MALFORMED"],
  },
  {
    name: "an export",
    covers: ["src/audit/export-file.ts decodeExport"],
    samples: [exported],
    read: readExport,
    reasons: ["MALFORMED", "NOT_CANONICAL", "TOO_LARGE"],
    oneIn: 3,
  },
  {
    name: "an evidence package",
    covers: ["src/evidence/package.ts parseEvidence"],
    samples: [utf8(formatEvidence(evidence))],
    text: true,
    read: (input) => parseEvidence(textOf(input)),
    print: (one: EvidencePackage) => utf8(formatEvidence(one)),
    reasons: ["TOO_LARGE", "EVIDENCE_INVALID"],
    oneIn: 3,
  },
  {
    name: "an evidence package that is verified",
    covers: ["src/evidence/verify.ts verifyEvidence"],
    samples: [utf8(formatEvidence(evidence))],
    text: true,
    read: async (input) => {
      const options = { networkId: network.id, verifier: network.verifier };
      const { valid, facts } = await verifyEvidence({ text: textOf(input), ...options });
      return valid ? facts : undefined;
    },
    reasons: [],
    oneIn: 6,
  },
  {
    name: "the opening of a commitment",
    covers: ["src/evidence/openings.ts opensOne"],
    samples: [utf8("response")],
    text: true,
    read: (input) => {
      const label = textOf(input);
      return opensOne({ label, salt: sha256(input), value: input }, receipt, undefined);
    },
    isRefusal: () => false,
    reasons: [],
  },
  {
    name: "the registry's snapshot",
    covers: ["src/registry/snapshot.ts decodeSnapshot"],
    samples: [encodeSnapshot(ledger.state)],
    read: (input) => decodeSnapshot(input),
    print: (state: RegistryState) => encodeSnapshot(state),
    sealed: true,
    reasons: ["STORAGE_FAILED"],
    oneIn: 3,
  },
  {
    name: "a stored body",
    covers: ["src/ledger/embedded/bodies.ts parseBody"],
    samples: [formatBody(first.records)],
    read: (input) => parseBody(input),
    print: (records: readonly Uint8Array[]) => formatBody(records),
    own: true,
    reasons: [],
  },
  {
    name: "frames of the journal",
    covers: ["src/ledger/journal/framing.ts unframe"],
    samples: [frame(first.records)],
    read: (input) => unframe(input),
    print: (records: readonly Uint8Array[]) => frame(records),
    own: true,
    reasons: [],
  },
  {
    name: "a batch on its way to the seal worker",
    covers: ["src/ledger/journal/seal-message.ts decodeSealJob"],
    samples: [sealJob],
    read: (input) => decodeSealJob(input),
    own: true,
    reasons: [],
  },
  {
    name: "an opening",
    covers: ["src/ledger/openings/opening.ts decodeOpening"],
    samples: [encodeOpening(opening)],
    read: (input) => decodeOpening(input),
    own: true,
    reasons: [],
  },
  {
    name: "an encrypted opening",
    covers: ["src/ledger/openings/openings-cipher.ts createOpeningsCipher"],
    samples: [cipher.encrypt(openingRow, encodeOpening(opening))],
    read: (input) => cipher.decrypt(openingRow, input),
    sealed: true,
    reasons: ["KEY_LOCKED"],
  },
];
