/** Heads, cosignatures and final checkpoints of one network: signed and verified against its keys. */
import { parseUtf8, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { type Checkpoint, parseCheckpoint } from "../../note/checkpoint.ts";
import {
  formatNote,
  formatSignatureLines,
  type NoteSignature,
  parseNote,
  parseSignatureLines,
} from "../../note/note.ts";
import { evaluateQuorum } from "../../note/quorum.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../note/sign.ts";
import { openCheckpoint, verifyNote } from "../../note/verify.ts";
import type { FinalCheckpoint } from "../ports.ts";
import type { CityWitness, LedgerNetwork } from "./network.ts";
import type { CheckpointReading } from "./witness-machine.ts";

/** The log's signed note of a size. */
export function signHead(
  network: LedgerNetwork,
  head: { readonly size: bigint; readonly root: Uint8Array },
  signer: Signer,
): Uint8Array {
  const checkpoint = { origin: network.logKey.name, ...head, extensions: [] };
  return formatNote(signCheckpoint(checkpoint, signer));
}

/** The checkpoint of a note that the log has signed. Throws as `openCheckpoint` does. */
export function readHead(network: LedgerNetwork, note: Uint8Array, verifier: Verifier): Checkpoint {
  const verify = verifier.verify.bind(verifier);
  return openCheckpoint({ note, logKey: network.logKey, verify }).checkpoint;
}

/**
 * The final checkpoint of a note. Throws as `evaluateQuorum` does.
 * `nowMs` is the own clock; absent when a note is read that was verified before it was stored.
 */
export function readFinal(
  network: LedgerNetwork,
  note: Uint8Array,
  options: { readonly verifier: Verifier; readonly nowMs?: number },
): FinalCheckpoint {
  const { verifier, nowMs } = options;
  const { size, root, timeMs } = evaluateQuorum({
    note,
    logKey: network.logKey,
    cosigners: network.witnesses,
    quorum: network.quorum,
    skewMs: network.skewMs,
    verify: verifier.verify.bind(verifier),
    ...(nowMs === undefined ? {} : { nowMs }),
  });
  return { size, root, timeMs, note };
}

/** What a witness makes of a note, in the order of the statuses that it answers. */
export function readForWitness(
  network: LedgerNetwork,
  note: Uint8Array,
  verifier: Verifier,
): CheckpointReading {
  try {
    const { origin, extensions } = parseCheckpoint(parseNote(note).text);
    if (origin !== network.logKey.name) return { kind: "origin unknown" };
    if (extensions.length > 0) return { kind: "malformed" };
    const { size, root } = readHead(network, note, verifier);
    return { kind: "signed", checkpoint: { origin, size, root, note } };
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    const isSigned = error.code !== "SIGNATURE_INVALID" && error.code !== "NOTE_SIGNER_UNKNOWN";
    return { kind: isSigned ? "malformed" : "not signed" };
  }
}

/** The line that a witness answers: its cosignature of a head at a time. */
export function cosign(options: {
  readonly head: { readonly origin: string; readonly size: bigint; readonly root: Uint8Array };
  readonly name: string;
  readonly signer: Signer;
  readonly timeMs: number;
}): string {
  const { origin, size, root } = options.head;
  const checkpoint = { origin, size, root, extensions: [] };
  const line = formatSignatureLines([cosignCheckpoint({ ...options, checkpoint })]);
  return parseUtf8(line) as string;
}

/**
 * The witness's own cosignature among the lines of its answer.
 * Throws NOTE_INVALID, NOTE_SIGNER_UNKNOWN or SIGNATURE_INVALID.
 */
export function readCosignature(
  witness: CityWitness,
  head: Uint8Array,
  options: { readonly body: string; readonly verifier: Verifier },
): NoteSignature {
  const { key } = witness;
  const { text } = parseNote(head);
  const signatures = parseSignatureLines(utf8(options.body)).filter(
    ({ name, keyId }) => name === key.name && keyId === key.keyId,
  );
  const verify = options.verifier.verify.bind(options.verifier);
  verifyNote({ note: { text, signatures }, keys: [key], verify });
  return signatures[0] as NoteSignature;
}

/** The head with the cosignatures of a quorum. */
export function joinCosignatures(head: Uint8Array, lines: readonly NoteSignature[]): Uint8Array {
  return formatNote(addSignatures(parseNote(head), lines));
}
