/** What a replay finds wrong: stable codes, each with its weight and one sentence. */

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

export interface Finding {
  readonly code: FindingCode;
  /** Index of the batch; of a broken ledger the first bad one. */
  readonly index: bigint;
  /** Position of the record, when one record is meant. */
  readonly position?: number;
  /** Whose chain the batch is, when it could be read. */
  readonly gateway?: string;
  /** Codes, ids of gateways, sizes and times: never a value of a call. */
  readonly fields: Readonly<Record<string, string>>;
}

export function severityOf(code: FindingCode): Severity {
  return table[code][0];
}

export function meaningOf(code: FindingCode): string {
  return table[code][1];
}

/** Takes findings as they are made. */
export type Report = (finding: Finding) => void;

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
