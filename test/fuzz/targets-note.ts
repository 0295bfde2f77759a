/** Notes, checkpoints, cosignatures, keys, and what is said to and by a witness. */
import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import {
  cosign,
  readCosignature,
  readFinal,
  readForWitness,
  readHead,
  readQuorum,
} from "../../src/ledger/embedded/checkpoints.ts";
import { conflictAnswer, parseConflict } from "../../src/ledger/embedded/witness-answers.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import {
  type AddCheckpointRequest,
  formatAddCheckpoint,
  parseAddCheckpoint,
} from "../../src/note/add-checkpoint.ts";
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from "../../src/note/checkpoint.ts";
import {
  type Cosignature,
  formatCosignature,
  parseCosignature,
} from "../../src/note/cosignature.ts";
import {
  formatNote,
  formatSignatureLines,
  type NoteSignature,
  parseNote,
  parseSignatureLines,
  type SignedNote,
} from "../../src/note/note.ts";
import { parseHashLine, parseHashLines } from "../../src/note/text.ts";
import { formatTlogProof, parseTlogProof, type TlogProof } from "../../src/note/tlog-proof.ts";
import { formatTlogPolicy, parseTlogPolicy } from "../../src/note/tlog-policy.ts";
import {
  formatNoteKey,
  formatVerifierKey,
  type NoteKey,
  parseNoteKey,
  parseVerifierKey,
  type VerifierKey,
} from "../../src/note/verifier-key.ts";
import { acceptPublicKey } from "../../src/crypto/ed25519-key.ts";
import { type CityWitness, cosignersBetween, logKeyOf } from "../../src/registry/cosigning.ts";
import type { TermFact } from "../../src/registry/state.ts";
import { openCheckpoint, verifyNote } from "../../src/note/verify.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import {
  addCheckpoint,
  audit,
  leaves,
  note,
  provenIndex,
  tlogProof,
  tlogProofWithExtra,
} from "./samples.ts";
import { type Target, textOf } from "./target.ts";
import { proveRecord } from "../../src/record/proof.ts";
import {
  formatRecordTlogProof,
  parseRecordTlogProof,
  type RecordTlogProof,
  verifyRecordTlogProof,
} from "../../src/record/record-tlog-proof.ts";

const { network } = audit;
const { verifier } = network;
const verify = verifier.verify.bind(verifier);
export const trust: Parameters<typeof readHead>[0] = {
  state: audit.ledger.state,
  skewMs: network.body.bounds.skew_s * 1000,
};
const sizes = { from: audit.ledger.size, to: audit.ledger.size };
const witnesses = cosignersBetween(trust.state, sizes);
const logKey = logKeyOf(trust.state, trust.state.terms[0] as TermFact);
const cosignerKeys = witnesses.map(({ key }) => key);
const parsed = parseNote(note);
const [, firstCosignature] = parsed.signatures;
if (firstCosignature === undefined) throw new Error("the note is cosigned");
const { origin, size, root } = parseCheckpoint(parsed.text);
const witness = witnesses[0];
const city = network.cities[0];
if (witness === undefined || city === undefined) throw new Error("the network has a witness");
const cosignatureLine = cosign({
  head: { origin, size, root },
  name: witness.key.name,
  signer: city.witness,
  timeMs: network.startMs,
});
/** A witness's answer to the head in `note`. */
export const cosignatureSample: { readonly witness: CityWitness; readonly line: string } = {
  witness,
  line: cosignatureLine,
};
const provenBatch = audit.entries.filter((entry) => entry.kind === "batch")[provenIndex];
if (provenBatch?.kind !== "batch") throw new Error("the ledger has this batch");
const recordTlogProof = formatRecordTlogProof({
  ...parseTlogProof(tlogProof),
  record: proveRecord(provenBatch, 0),
});
const ofNote: readonly ReasonCode[] = ["TOO_LARGE", "NOTE_INVALID"];
const ofSigned: readonly ReasonCode[] = [
  ...ofNote,
  "CHECKPOINT_INVALID",
  "SIGNATURE_INVALID",
  "NOTE_SIGNER_UNKNOWN",
];

export const noteTargets: readonly Target[] = [
  {
    name: "a note",
    covers: ["src/note/note.ts parseNote"],
    samples: [note],
    read: (input) => parseNote(input),
    print: (one: SignedNote) => formatNote(one),
    reasons: ofNote,
  },
  {
    name: "signature lines",
    covers: ["src/note/note.ts parseSignatureLines"],
    samples: [formatSignatureLines(parsed.signatures)],
    read: (input) => parseSignatureLines(input),
    print: (lines: readonly NoteSignature[]) => formatSignatureLines(lines),
    reasons: ofNote,
  },
  {
    name: "a note and its signatures",
    covers: ["src/note/verify.ts verifyNote", "src/note/verify.ts openCheckpoint"],
    samples: [note],
    read: (input) => {
      verifyNote({ note: parseNote(input), keys: [logKey, ...cosignerKeys], verify });
      return openCheckpoint({ note: input, logKey, cosignerKeys, verify }).checkpoint;
    },
    reasons: ofSigned,
  },
  {
    name: "a final checkpoint",
    covers: [
      "src/ledger/embedded/checkpoints.ts readFinal",
      "src/ledger/embedded/checkpoints.ts readQuorum",
      "src/note/quorum.ts evaluateQuorum",
    ],
    samples: [note],
    read: (input) => {
      const final = readFinal(trust, input, { verifier, nowMs: audit.ledger.nowMs });
      // Lines of unknown keys may be added; nothing that is signed may be another.
      assert.deepEqual([final.size, final.root], [size, root]);
      return readQuorum(trust, input, { verifier, from: 0n });
    },
    reasons: [...ofSigned, "QUORUM_NOT_MET"],
  },
  {
    name: "a head of the log",
    covers: ["src/ledger/embedded/checkpoints.ts readHead"],
    samples: [note],
    read: (input) => readHead(trust, input, verifier),
    reasons: ofSigned,
  },
  {
    name: "a head that a witness is shown",
    covers: ["src/ledger/embedded/checkpoints.ts readForWitness"],
    samples: [note],
    read: (input) => readForWitness(trust, input, verifier),
    isRefusal: (value) => (value as { readonly kind: string }).kind !== "signed",
    reasons: [],
  },
  {
    name: "a witness's answer",
    covers: ["src/ledger/embedded/checkpoints.ts readCosignature"],
    samples: [utf8(cosignatureLine)],
    text: true,
    read: (input) => readCosignature(witness, note, { body: textOf(input), verifier }),
    reasons: [...ofNote, "SIGNATURE_INVALID", "NOTE_SIGNER_UNKNOWN"],
  },
  {
    name: "the text of a checkpoint",
    covers: ["src/note/checkpoint.ts parseCheckpoint"],
    samples: [
      utf8(parsed.text),
      utf8(formatCheckpoint({ origin, size, root, extensions: ["one", "two more"] })),
    ],
    text: true,
    read: (input) => parseCheckpoint(textOf(input)),
    print: (checkpoint: Checkpoint) => utf8(formatCheckpoint(checkpoint)),
    reasons: ["CHECKPOINT_INVALID"],
  },
  {
    name: "the bytes of a cosignature",
    covers: ["src/note/cosignature.ts parseCosignature"],
    samples: [firstCosignature.signature],
    read: (input) => parseCosignature(input),
    print: (cosignature: Cosignature) => formatCosignature(cosignature),
    reasons: [],
  },
  {
    name: "a verifier key",
    covers: ["src/note/verifier-key.ts parseVerifierKey"],
    samples: [logKey, ...cosignerKeys].map((key) => utf8(formatVerifierKey(key))),
    text: true,
    read: (input) => parseVerifierKey(textOf(input)),
    print: (key: VerifierKey) => utf8(formatVerifierKey(key)),
    reasons: ["MALFORMED"],
  },
  {
    name: "a verifier key of any type",
    covers: ["src/note/verifier-key.ts parseNoteKey"],
    samples: [logKey, ...cosignerKeys].map((key) => utf8(formatNoteKey(key))),
    text: true,
    read: (input) => parseNoteKey(textOf(input)),
    print: (key: NoteKey) => utf8(formatNoteKey(key)),
    reasons: ["MALFORMED"],
  },
  {
    name: "a trust policy",
    covers: ["src/note/tlog-policy.ts parseTlogPolicy"],
    samples: [
      formatTlogPolicy({
        logs: [{ key: logKey, url: "https://log.example/" }],
        witnesses: cosignerKeys.map((key, i) => ({ name: `w${i}`, key })),
        groups: [{ name: "cities", threshold: 1, members: ["w0", "w1"] }],
        quorum: "cities",
      }),
    ],
    read: (input) => parseTlogPolicy(input),
    reasons: ["TOO_LARGE", "MALFORMED"],
  },
  {
    name: "an Ed25519 key",
    covers: ["src/crypto/ed25519-key.ts acceptPublicKey"],
    samples: cosignerKeys.map(({ publicKey }) => publicKey),
    read: (input) => acceptPublicKey(input)?.toBytes(),
    print: (point: Uint8Array) => point,
    reasons: [],
  },
  {
    name: "an add-checkpoint request",
    covers: ["src/note/add-checkpoint.ts parseAddCheckpoint"],
    samples: [addCheckpoint],
    read: (input) => parseAddCheckpoint(input),
    print: (request: AddCheckpointRequest) => formatAddCheckpoint(request),
    reasons: ["TOO_LARGE", "MALFORMED"],
  },
  {
    name: "a conflict that a witness answers",
    covers: ["src/ledger/embedded/witness-answers.ts parseConflict"],
    samples: [utf8(conflictAnswer(70_000n).body)],
    text: true,
    read: (input) => parseConflict({ ...conflictAnswer(1n), body: textOf(input) }),
    print: (known: bigint) => utf8(conflictAnswer(known).body),
    reasons: [],
  },
  {
    name: "a tlog-proof",
    covers: ["src/note/tlog-proof.ts parseTlogProof"],
    samples: [tlogProof, tlogProofWithExtra],
    read: (input) => parseTlogProof(input),
    print: (proof: TlogProof) => formatTlogProof(proof),
    reasons: ["TOO_LARGE", "MALFORMED"],
  },
  {
    name: "a tlog-proof and what it proves",
    covers: ["src/note/tlog-proof.ts parseTlogProof"],
    samples: [tlogProof],
    read: (input) => {
      const proof = parseTlogProof(input);
      const final = readFinal(trust, proof.checkpoint, { verifier });
      const proven = leafHash(leaves[provenIndex] as Uint8Array);
      return verifyInclusion({ ...proof, ...final, leafHash: proven });
    },
    isRefusal: (value) => value === false,
    reasons: ["MALFORMED", "QUORUM_NOT_MET", "PROOF_INVALID", ...ofSigned],
  },
  {
    name: "the tlog-proof of a record",
    covers: ["src/record/record-tlog-proof.ts parseRecordTlogProof"],
    samples: [recordTlogProof],
    read: (input) => parseRecordTlogProof(input),
    print: (proof: RecordTlogProof) => formatRecordTlogProof(proof),
    reasons: ["TOO_LARGE", "MALFORMED", "NOT_CANONICAL"],
  },
  {
    name: "the tlog-proof of a record and what it proves",
    covers: ["src/record/record-tlog-proof.ts parseRecordTlogProof"],
    samples: [recordTlogProof],
    read: (input) =>
      verifyRecordTlogProof(input, (checkpoint) => readFinal(trust, checkpoint, { verifier })),
    reasons: [
      "MALFORMED",
      "NOT_CANONICAL",
      "BATCH_INVALID",
      "NETWORK_UNKNOWN",
      "QUORUM_NOT_MET",
      "PROOF_INVALID",
      ...ofSigned,
    ],
  },
  {
    name: "hashes in lines",
    covers: ["src/note/text.ts parseHashLine", "src/note/text.ts parseHashLines"],
    samples: [utf8(parsed.text.split("\n")[2] as string)],
    text: true,
    read: (input) => (parseHashLine(textOf(input)), parseHashLines(textOf(input).split("\n"))),
    reasons: [],
  },
];
