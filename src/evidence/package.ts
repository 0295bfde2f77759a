/**
 * The evidence package: one JSON file that proves one record offline to whoever knows the network id.
 *
 * All bytes are standard base64; a tlog-proof is its text (C2SP tlog-proof@v1), whose
 * checkpoint is the network's final one. Members in this order, none else:
 *
 * - `version`: 1, or 2 for a package with `changes`.
 * - `network`: network id, 64 hex digits. A hint for people: the verifier is told whom to trust.
 * - `changes`: of version 2: how cities, quorum or sequencer changed from the founding up to the
 *   checkpoint of the rest. A list of lists, each of the statements of cities and votes that are final by
 *   one checkpoint and proven under it, ascending by ledger address over all lists. Each checkpoint is
 *   cosigned by every quorum from that of the one before it on, and signed by the log of its term. Absent
 *   where nothing changed.
 * - `record`: the proven record, `{record, path, leaf, proof}`. `record` is its encoding, `path` the
 *   RFC 6962 path in its batch, `leaf` the signed header, `proof` the tlog-proof of the leaf. `position`
 *   is its place in the batch.
 * - `opened`: the same of the record that a receipt follows; absent where it follows none.
 * - `acknowledgement`: the same of the consumer's answer to a receipt; absent where there is none.
 * - `statements`: the same of each statement that keys and facts rest on, ascending by ledger address; the
 *   first is the founding document, at 0/0.
 * - `openings`: `{label, salt, value}` of commitments that their owner reveals; may be empty.
 */
import { parseBase64, parseUtf8, toBase64, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { evidenceBytesMax, evidenceChangesMax, evidenceStatementsMax } from "../base/limits.ts";

/** Of packages of a network whose cities, quorum and sequencer are those of its founding. */
export const evidenceVersion = 1 as const;
/** Of packages that also say how these have changed. */
export const changedEvidenceVersion = 2 as const;

/** One record with all that leads from it to the final checkpoint. */
export interface ProvenEvidence {
  readonly record: Uint8Array;
  readonly position: number;
  readonly path: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  /** Bytes of a tlog-proof of the leaf. */
  readonly proof: Uint8Array;
}

export interface EvidenceOpening {
  readonly label: string;
  readonly salt: Uint8Array;
  readonly value: Uint8Array;
}

export interface EvidencePackage {
  /** Network id, lower-case hex. */
  readonly network: string;
  /** Lists of statements, each under its own checkpoint; absent where nothing changed, never empty. */
  readonly changes?: readonly (readonly ProvenEvidence[])[];
  readonly record: ProvenEvidence;
  readonly opened?: ProvenEvidence;
  readonly acknowledgement?: ProvenEvidence;
  readonly statements: readonly ProvenEvidence[];
  readonly openings: readonly EvidenceOpening[];
}

/** The text of a package, as `parseEvidence` takes it. */
export function formatEvidence(evidence: EvidencePackage): string {
  const { network, changes, record, opened, acknowledgement, statements, openings } = evidence;
  const json = {
    version: changes === undefined ? evidenceVersion : changedEvidenceVersion,
    network,
    ...(changes === undefined ? {} : { changes: changes.map((list) => list.map(printProven)) }),
    record: printProven(record),
    ...(opened === undefined ? {} : { opened: printProven(opened) }),
    ...(acknowledgement === undefined ? {} : { acknowledgement: printProven(acknowledgement) }),
    statements: statements.map(printProven),
    openings: openings.map(({ label, salt, value }) => ({
      label,
      salt: toBase64(salt),
      value: toBase64(value),
    })),
  };
  return `${JSON.stringify(json, undefined, 2)}\n`;
}

/** A package from its text. Throws TOO_LARGE, or EVIDENCE_INVALID for what `formatEvidence` would not print. */
export function parseEvidence(text: string): EvidencePackage {
  if (text.length > evidenceBytesMax) {
    throw new CausewayError("TOO_LARGE", `a package has at most ${evidenceBytesMax} bytes`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid("not JSON", cause);
  }
  const members = object(json);
  const { version, changes, acknowledgement, opened } = members;
  if (version !== evidenceVersion && version !== changedEvidenceVersion) {
    throw invalid("another version");
  }
  const evidence: EvidencePackage = {
    network: string(members["network"]),
    ...(changes === undefined ? {} : { changes: readChanges(changes) }),
    record: readProven(members["record"]),
    ...(opened === undefined ? {} : { opened: readProven(opened) }),
    ...(acknowledgement === undefined ? {} : { acknowledgement: readProven(acknowledgement) }),
    statements: list(members["statements"], evidenceStatementsMax).map(readProven),
    openings: list(members["openings"], evidenceStatementsMax).map(readOpening),
  };
  if (formatEvidence(evidence) !== text) throw invalid("not in its printed form");
  return evidence;
}

function readChanges(json: unknown): readonly (readonly ProvenEvidence[])[] {
  const changes = list(json, evidenceChangesMax).map((one) =>
    list(one, evidenceStatementsMax).map(readProven),
  );
  if (changes.length > 0 && changes.every((one) => one.length > 0)) return changes;
  throw invalid("an empty list of changes");
}

function printProven({ record, position, path, leaf, proof }: ProvenEvidence): object {
  return {
    record: toBase64(record),
    position,
    path: path.map(toBase64),
    leaf: toBase64(leaf),
    proof: parseUtf8(proof),
  };
}

function readProven(json: unknown): ProvenEvidence {
  const { record, position, path, leaf, proof } = object(json);
  if (typeof position !== "number" || !Number.isSafeInteger(position) || position < 0) {
    throw invalid("a position is a whole number");
  }
  return {
    record: bytes(record),
    position,
    path: list(path, 12).map(bytes),
    leaf: bytes(leaf),
    proof: utf8(string(proof)),
  };
}

function readOpening(json: unknown): EvidenceOpening {
  const { label, salt, value } = object(json);
  return { label: string(label), salt: bytes(salt), value: bytes(value) };
}

function object(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json === "object" && json !== null && !Array.isArray(json)) {
    return json as Record<string, unknown>;
  }
  throw invalid("not an object where one is expected");
}

function list(json: unknown, countMax: number): readonly unknown[] {
  if (Array.isArray(json) && json.length <= countMax) return json;
  throw invalid(`not a list of at most ${countMax} elements`);
}

function string(json: unknown): string {
  if (typeof json === "string") return json;
  throw invalid("not a string where one is expected");
}

function bytes(json: unknown): Uint8Array {
  const parsed = parseBase64(string(json));
  if (parsed !== undefined) return parsed;
  throw invalid("not canonical base64 where it is expected");
}

function invalid(why: string, cause?: unknown): CausewayError {
  return new CausewayError("EVIDENCE_INVALID", `not an evidence package: ${why}`, { cause });
}
