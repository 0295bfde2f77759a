/** What a replay finds wrong: stable codes, each with its weight and one sentence. */
import type { RegistryView } from "../registry/state.ts";

/**
 * `broken`: the ledger itself cannot be relied on from there on. `violation`: a party broke a rule.
 * `notice`: the ledger contradicts an honest course, and an honest cause is possible.
 */
export type Severity = "broken" | "violation" | "notice";

type Row = readonly [severity: Severity, meaning: string];

const rows = {
  // The ledger.
  EXPORT_MALFORMED: ["broken", "The export cannot be decoded."],
  NETWORK_DIFFERS: ["broken", "The export is of another network than the trusted one."],
  BATCH_REJECTED: ["broken", "A batch may not stand at its index."],
  NOTE_REJECTED: ["broken", "A frozen note is not a final checkpoint of this network."],
  NOTE_MISPLACED: ["broken", "A frozen note names another size than the leaves before it."],
  NOTE_ROOT_DIFFERS: ["broken", "A quorum cosigned another root than these leaves have."],
  NOT_FINAL: ["broken", "Batches stand behind the newest final checkpoint."],
  CHECKPOINT_REJECTED: [
    "broken",
    "The later checkpoint is not shown to be a final checkpoint of this network.",
  ],
  CHECKPOINT_FORK: ["broken", "The later checkpoint names another root than these leaves have."],
  TRUNCATED: ["broken", "The later checkpoint covers more leaves than the export holds."],
  DIGEST_DIVERGES: [
    "broken",
    "The exporting gateway's registry differs from the one that these leaves give.",
  ],
  LOG_FORK: ["broken", "The log signed a checkpoint that is not of this tree."],
  TERM_OVER: [
    "violation",
    "A quorum cosigned a size for the log of a term that had ended below it.",
  ],
  TERM_START_WRONG: [
    "violation",
    "A term does not start at the highest checkpoint of the votes that opened it.",
  ],
  TERM_VOTES_MISSING: [
    "violation",
    "A term was opened without the votes of each quorum from the last final size to its start.",
  ],
  FINAL_TIME_BACK: ["violation", "The time of a final size lies before that of a smaller one."],
  BLOB_MISSING: ["violation", "A blob that a statement names is missing."],
  BLOB_UNNAMED: ["violation", "A blob stands before a batch that does not name it."],
  PUBLICATION_INVALID: ["violation", "A published statement does not say what its blobs hold."],

  MASK_INVALID: ["notice", "A grant names a field that no answer of its methods has."],

  // Chains.
  SEEN_NOT_FINAL: ["violation", "A header rests on a size that was never final."],
  BOOT_RETURNED: ["violation", "A boot came back after another had followed it."],
  TIME_IMPLAUSIBLE: [
    "violation",
    "A seal lies outside the times of its seen and its first final size.",
  ],
  STALE_SEAL: ["violation", "A release rests on a checkpoint that was too old."],
  LATE: ["notice", "A batch became final too late, while later ones of others did."],
  EQUIVOCATION: ["violation", "A gateway signed two headers for one place of its chain."],
  ROLLBACK: ["violation", "A gateway sealed again at a place of its chain after a restart."],

  // Calls.
  TOKEN_INVALID: ["violation", "A recorded call token does not verify."],
  TOKEN_MISUSED: [
    "violation",
    "A recorded call token is for another gateway, network, start or time.",
  ],
  CALL_STATEMENT_INVALID: ["violation", "A recorded call statement is not under its token's root."],
  PEER_KEY_UNKNOWN: ["violation", "The peer's TLS key is not one of the token's issuer."],
  SERVICE_OF_ANOTHER: ["violation", "A gateway answered for a service of another agency."],

  // Decisions.
  DECISION_DIFFERS: ["violation", "The facts on the ledger give another decision."],
  DECISION_SIZE_INVALID: [
    "violation",
    "A decision rests on a size that was not final for its gateway.",
  ],
  DECISION_TIME_IMPLAUSIBLE: [
    "violation",
    "A decision was taken after its seal or outside its token's life.",
  ],
  QUOTA_MISCOUNTED: [
    "violation",
    "A decision counts less of its quota as used than the records show.",
  ],
  RELEASED_WITHOUT_PERMIT: ["violation", "Something was called or released without a permit."],
  REFUSAL_CONTRADICTS: ["violation", "A refusal contradicts the decision inside."],
  RECHECK_UNFOUNDED: ["violation", "A failed re-check names a fact that the ledger does not hold."],
  GRANT_TAKEN: ["violation", "A release stands after its grant was taken below the seen size."],
  GRANT_EXPIRED: ["violation", "A release was sealed after its grant had expired."],
  FOUNDATION_TAKEN: [
    "violation",
    "A release stands after a member, its service or a chain had fallen below the seen size.",
  ],
  RELEASE_AFTER_REVOCATION: [
    "violation",
    "A release stands behind the revocation in the same chain.",
  ],

  // Attempts.
  ATTEMPT_REPEATED: ["violation", "One attempt was used twice."],
  ATTEMPT_MISNAMED: ["violation", "A record names its attempt otherwise than its call statement."],
  PREVIOUS_MISSING: ["violation", "A record follows one that is not an open record of its chain."],
  SEGMENT_GAP: ["violation", "Receipts of one attempt do not follow each other without a gap."],
  ACKNOWLEDGEMENT_GAP: [
    "violation",
    "Acknowledgements of one attempt do not follow each other without a gap.",
  ],
  ACKNOWLEDGEMENT_DIFFERS: [
    "violation",
    "An acknowledgement that says MATCH counts otherwise than its receipt.",
  ],
  FRAMES_BEYOND_RECORD: [
    "violation",
    "A closing says more frames than the records of its side let out.",
  ],
  LIMIT_EXCEEDED: ["violation", "More was released than the obligations allow."],
  OPENED_MISSING: ["violation", "A method that writes was answered without an Opened before."],
  REQUEST_FRAMES_IMPLAUSIBLE: [
    "violation",
    "A record counts frames of a request that its call cannot have.",
  ],
  WINDOW_EXCEEDED: ["violation", "More segments are unacknowledged than the window allows."],
  PROVIDER_CLOSING_MISSING: ["violation", "The provider never closed an attempt that it opened."],
  PROVIDER_RECORD_MISSING: [
    "violation",
    "The consumer answers a provider's record that is not on the ledger.",
  ],
  CONSUMER_CLOSED_TWICE: ["violation", "The consumer closed an attempt twice."],
  CONSUMER_CLOSING_MISSING: [
    "violation",
    "The consumer never closed an attempt of its own statement.",
  ],
  CLOSING_OF_ANOTHER: ["violation", "A gateway closed an attempt that is not its own."],
  CLOSINGS_CONTRADICT: [
    "violation",
    "The two sides closed an attempt in ways that exclude each other.",
  ],
  HANDLE_DIFFERS: ["violation", "The consumer was shown another record than the ledger holds."],
  ACKNOWLEDGED_BEYOND_RECEIPT: ["violation", "More frames are acknowledged than receipted."],
  REQUEST_DIFFERS: ["violation", "The two sides commit to different requests."],
  RESPONSE_DIFFERS: ["violation", "The two sides commit to different responses."],
  CHECK_FAILED: ["notice", "The consumer could not verify what it received."],
  DISPUTED: ["notice", "The consumer disputes an attempt whose token verifies under its key."],
  AGGREGATE_IMPLAUSIBLE: ["violation", "An aggregate of refusals cannot be what was counted."],
  RECORD_IMPLAUSIBLE: ["violation", "Members of a record contradict each other."],
} as const;

export type FindingCode = keyof typeof rows;

const table: Readonly<Record<FindingCode, Row>> = rows;

export const findingCodes: readonly FindingCode[] = Object.keys(table) as FindingCode[];

/** What is not on the ledger and tells which of two sides lied. */
const evidence = {
  RECORD_SHOWN:
    "leaf, record and path of what the consumer answered, which it keeps and owes to the ledger as ReceiptMissing: if they verify, the provider signed them; if there are none, the consumer made them up",
  CALL_OPENED:
    "the opening of `call` in the refusal that the consumer names: it is of this call, and the provider refused what it answered, or it is not",
  REQUEST_OPENED:
    "evidence packages of both records with the opening of `request`: a side that cannot open what it committed to made it up, and of two that can, the agency system's own copy tells",
  RESPONSE_OPENED:
    "the evidence package of the receipt with the opening of `response` and the messages: a provider that cannot open what it committed to made it up, and under a mask they show what it let pass",
  ANSWER_KEPT:
    "what the agency system got: a consumer that handed an answer over had its receipt; of one that did not, nothing tells whether the provider refused without a record or the consumer did not say what it was given",
  ACKNOWLEDGEMENT_SHOWN:
    "leaves, records and paths of the acknowledgements that the provider was given in-band: if they verify and are not on the ledger, the consumer signed them and withholds them; if there are none, the provider released beyond the window",
  SEAL_TIMES:
    "the evidence packages of both records: a seal that the times of its final checkpoints do not allow is a TIME_IMPLAUSIBLE of its gateway",
} as const;

export type SettlingEvidence = keyof typeof evidence;

export const settlingEvidence: readonly SettlingEvidence[] = Object.keys(
  evidence,
) as SettlingEvidence[];

export function evidenceMeaning(of: SettlingEvidence): string {
  return evidence[of];
}

/**
 * Who lied or failed where two sides meet: the gateway that the records convict, or the two of which one
 * did, with what settles it. A provider that left nothing on the ledger is not among the two.
 */
export type Blame =
  | { readonly kind: "convicted"; readonly gateway: string }
  | {
      readonly kind: "either";
      readonly gateways: readonly string[];
      readonly settledBy: SettlingEvidence;
    };

export interface Finding {
  readonly code: FindingCode;
  /** Index of the batch; of a broken ledger the first bad one. */
  readonly index: bigint;
  /** Position of the record, when one record is meant. */
  readonly position?: number;
  /** Whose chain the batch is, when it could be read. */
  readonly gateway?: string;
  /** Of each finding between two sides. */
  readonly blame?: Blame;
  /** Codes, ids of gateways, sizes and times: never a value of a call. */
  readonly fields: Readonly<Record<string, string>>;
}

/** Findings between two sides, which may stand at a record of the one and be the other's doing. */
export const blamedFindings: ReadonlySet<FindingCode> = new Set([
  "ATTEMPT_REPEATED",
  "ATTEMPT_MISNAMED",
  "CLOSINGS_CONTRADICT",
  "PROVIDER_RECORD_MISSING",
  "CONSUMER_CLOSING_MISSING",
  "HANDLE_DIFFERS",
  "ACKNOWLEDGED_BEYOND_RECEIPT",
  "REQUEST_DIFFERS",
  "RESPONSE_DIFFERS",
  "WINDOW_EXCEEDED",
  "CHECK_FAILED",
]);

export function severityOf(code: FindingCode): Severity {
  return table[code][0];
}

export function meaningOf(code: FindingCode): string {
  return table[code][1];
}

/** What a whole ledger says of who is to blame. */
export interface LedgerFacts {
  /** Whether a leaf stands on the ledger. */
  hasLeaf(leafHash: Uint8Array): boolean;
  /** Who signed a leaf that somebody has shown on the ledger. */
  signerOfShown(leafHash: Uint8Array): string | undefined;
  /** The registry at a size. */
  viewAt(size: bigint): RegistryView;
  /** Index of the revocation of a grant, by its `jti`. */
  grantUntil(jti: string): bigint | undefined;
  /** Milliseconds from the first final size above `size` to `atMs`; `undefined` where notes are missing. */
  staleMs(size: bigint, atMs: number): number | undefined;
  /** Whether one of these stands at a place. */
  hasViolation(place: Place, codes: readonly FindingCode[]): boolean;
  readonly skewMs: number;
}

/** Decides once the whole ledger is there. */
export type Judge = (ledger: LedgerFacts) => Blame;

/** Takes findings as they are made. With a judge, who is to blame is decided at the end. */
export type Report = (finding: Finding, judge?: Judge) => void;

/** Where a record stands. */
export interface Place {
  readonly index: bigint;
  readonly position: number;
  readonly gateway: string;
}

export function findingAt(
  place: Place,
  code: FindingCode,
  fields: Readonly<Record<string, string>> = {},
): Finding {
  return { code, ...place, fields };
}
