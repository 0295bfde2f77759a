/** Salted commitments: what stands on the ledger of a value that must not stand there (RECORDS.md). */
import { equalBytes, utf8 } from "../base/bytes.ts";
import { hmacSha256 } from "../base/sha256.ts";

/** Labels of the values that the consumer's seed salts. */
export type ConsumerLabel = "request" | "case" | "official" | "subject" | "idempotency";
/** Labels of the values that the provider's seed salts. */
export type ProviderLabel = "response" | "status" | "upstream";
/** Labels of the values that the seed of the side that says them salts. */
export type SharedLabel = "text" | "call" | "method" | `attribute/${string}`;

/** What a committed value is; two labels never give one commitment. */
export type CommitmentLabel = ConsumerLabel | ProviderLabel | SharedLabel;

/** Bytes of a seed, a salt and a commitment. */
export const commitmentBytes: number = 32;

const commitPrefix = utf8("causeway/commit/v1\0");
const saltPrefix = utf8("causeway/salt/v1\0");
// Ends the label in HKDF's info; then the counter of its first and only block (RFC 5869 section 2.3).
const saltSuffix = Uint8Array.of(0, 1);
const labelEnd = Uint8Array.of(0);

const fixedLabels: ReadonlySet<string> = new Set<CommitmentLabel>([
  "request",
  "case",
  "official",
  "subject",
  "idempotency",
  "response",
  "status",
  "upstream",
  "text",
  "call",
  "method",
]);

/** Whether `text` is a label: a fixed one, or `attribute/` and a name of 0x21 to 0x7E. */
export function isCommitmentLabel(text: string): text is CommitmentLabel {
  return fixedLabels.has(text) || /^attribute\/[!-~]+$/.test(text);
}

function assertLabel(label: CommitmentLabel): void {
  if (!isCommitmentLabel(label)) throw new RangeError("not a commitment label");
}

function assertLength(what: string, bytes: Uint8Array): void {
  if (bytes.length !== commitmentBytes) throw new RangeError(`a ${what} has 32 bytes`);
}

/**
 * The salt of one label under a side's 32-byte seed, by HKDF-Expand with SHA-256. It reveals nothing
 * of the seed or of other salts: to reveal a value, give its salt and never the seed.
 */
export function deriveSalt(seed: Uint8Array, label: CommitmentLabel): Uint8Array {
  assertLength("seed", seed);
  assertLabel(label);
  return hmacSha256(seed, saltPrefix, utf8(label), saltSuffix);
}

/** The 32-byte commitment to `value` under a 32-byte salt. */
export function commit(options: {
  readonly label: CommitmentLabel;
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}): Uint8Array {
  assertLength("salt", options.salt);
  assertLabel(options.label);
  return hmacSha256(options.salt, commitPrefix, utf8(options.label), labelEnd, options.value);
}

/** What the other side says opens a commitment. */
export interface CommitmentOpening {
  readonly label: CommitmentLabel;
  /** As received, of any length: only 32 bytes open anything. */
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}

/** Whether `opening` opens `commitment`. */
export function opensCommitment(commitment: Uint8Array, opening: CommitmentOpening): boolean {
  if (opening.salt.length !== commitmentBytes) return false;
  return equalBytes(commit(opening), commitment);
}

/** A fresh commitment with the salt that opens it. */
export interface Committed {
  readonly salt: Uint8Array;
  readonly commitment: Uint8Array;
}

/** Commits to `value` under the salt that `seed` gives `label`. */
export function commitUnderSeed(options: {
  readonly seed: Uint8Array;
  readonly label: CommitmentLabel;
  readonly value: Uint8Array;
}): Committed {
  const salt = deriveSalt(options.seed, options.label);
  return { salt, commitment: commit({ label: options.label, salt, value: options.value }) };
}
