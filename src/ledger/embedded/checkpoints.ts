/** Heads, cosignatures and final checkpoints of one network: signed, and verified against what its registry says. */
import { parseUtf8, toHex, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { parseCheckpoint } from "../../note/checkpoint.ts";
import {
  formatNote,
  formatSignatureLines,
  type NoteSignature,
  parseNote,
  parseSignatureLines,
} from "../../note/note.ts";
import { evaluateQuorum, type QuorumCheckpoint } from "../../note/quorum.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../note/sign.ts";
import { openCheckpoint, verifyNote } from "../../note/verify.ts";
import {
  type CityWitness,
  cosignersBetween,
  cosigningRules,
  isSizeOfTerm,
  logKeyOf,
  originOf,
  termOfOrigin,
} from "../../registry/cosigning.ts";
import type { RegistryState, TermFact } from "../../registry/state.ts";
import type { FinalCheckpoint } from "../ports.ts";
import { newestTerm, type Trust } from "./trust.ts";
import type { CheckpointReading } from "./witness-types.ts";

/** A head that the log of one term has signed. */
export interface SignedHead {
  readonly term: bigint;
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** The note of a size, signed with the log key of the term whose origin it is. */
export function signHead(
  origin: string,
  head: { readonly size: bigint; readonly root: Uint8Array },
  signer: Signer,
): Uint8Array {
  const { size, root } = head;
  return formatNote(signCheckpoint({ origin, size, root, extensions: [] }, signer));
}

/**
 * The head of a note that a log of this network has signed; its origin names the term.
 * Throws CHECKPOINT_INVALID when the origin is of no term that the registry knows, and as
 * `openCheckpoint` does.
 */
export function readHead({ state }: Trust, note: Uint8Array, verifier: Verifier): SignedHead {
  const fact = termNamed(state, parseCheckpoint(parseNote(note).text).origin);
  const verify = verifier.verify.bind(verifier);
  const { checkpoint } = openCheckpoint({ note, logKey: logKeyOf(state, fact), verify });
  const { origin, size, root } = checkpoint;
  return { term: fact.term, origin, size, root };
}

export interface FinalReading {
  readonly verifier: Verifier;
  /**
   * The final size before it, whose rule counts too. Absent for a size that is final already, as in a
   * heartbeat: then the rule of the size alone counts.
   */
  readonly from?: bigint;
  /** The own clock; absent when a note is read that was verified before it was stored. */
  readonly nowMs?: number;
}

/** The checkpoint of a note that every quorum from `from` on has cosigned. Throws as `evaluateQuorum` and `readHead` do. */
export function readQuorum(
  { state, skewMs }: Trust,
  note: Uint8Array,
  { verifier, from, nowMs }: FinalReading,
): QuorumCheckpoint & { readonly term: bigint } {
  const { origin, size: to } = parseCheckpoint(parseNote(note).text);
  const fact = termNamed(state, origin);
  if (to === 0n) throw new CausewayError("QUORUM_NOT_MET", "no city speaks for an empty tree");
  const sizes = { from: from === undefined || from > to ? to : from, to };
  const checkpoint = evaluateQuorum({
    note,
    logKey: logKeyOf(state, fact),
    cosigners: cosignersBetween(state, sizes),
    rules: cosigningRules(state, sizes),
    skewMs,
    verify: verifier.verify.bind(verifier),
    ...(nowMs === undefined ? {} : { nowMs }),
  });
  return { ...checkpoint, term: fact.term };
}

/** The final checkpoint of a note. Throws as `readQuorum` does. */
export function readFinal(trust: Trust, note: Uint8Array, reading: FinalReading): FinalCheckpoint {
  const { size, root, timeMs } = readQuorum(trust, note, reading);
  return { size, root, timeMs, note };
}

function termNamed(state: RegistryState, origin: string): TermFact {
  const fact = termOfOrigin(state, origin);
  if (fact !== undefined) return fact;
  throw new CausewayError("CHECKPOINT_INVALID", "the checkpoint is of another origin");
}

/** What a witness makes of a note, in the order of the statuses that it answers. */
export function readForWitness(
  trust: Trust,
  note: Uint8Array,
  verifier: Verifier,
): CheckpointReading {
  try {
    const { origin, extensions } = parseCheckpoint(parseNote(note).text);
    if (termOfOrigin(trust.state, origin) === undefined) {
      return { kind: isPassedOver(trust, origin) ? "ended" : "origin unknown" };
    }
    if (extensions.length > 0) return { kind: "malformed" };
    const { term, size, root } = readHead(trust, note, verifier);
    // Cosigned, it would be the highest of this city, and a later term could begin nowhere.
    if (!isSizeOfTerm(termNamed(trust.state, origin), size)) return { kind: "malformed" };
    // Its sequencer may go on for a while with a tree that this replica has left.
    if (term < newestTerm(trust).term) return { kind: "ended" };
    return { kind: "signed", checkpoint: { term, origin, size, root, note } };
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    const isSigned = error.code !== "SIGNATURE_INVALID" && error.code !== "NOTE_SIGNER_UNKNOWN";
    return { kind: isSigned ? "malformed" : "not signed" };
  }
}

const termPattern = /^(?:0|[1-9]\d{0,18})$/;

/** Whether the origin is of a term that this ledger never had, below the newest: its sequencer may not know yet. */
function isPassedOver(trust: Trust, origin: string): boolean {
  const prefix = originOf(trust.state.networkId, 0n).slice(0, -1);
  const term = origin.slice(prefix.length);
  if (!origin.startsWith(prefix) || !termPattern.test(term)) return false;
  return BigInt(term) < newestTerm(trust).term;
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
  witness: Pick<CityWitness, "key">,
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

/** A city's cosignature on a note of its own replica. */
export interface OwnCosignature extends Pick<SignedHead, "term" | "origin" | "size"> {
  /** The city's key at that size, raw, hex: a line under any other one was not verified with the note. */
  readonly key: string;
}

/** What a city has cosigned of a note that was verified before; `undefined` when it had no part in it. */
export function readOwnCosignature(
  trust: Trust,
  note: Uint8Array,
  { city, verifier }: { readonly city: string; readonly verifier: Verifier },
): OwnCosignature | undefined {
  const { text, signatures } = parseNote(note);
  const { size: to } = parseCheckpoint(text);
  const cosigners = cosignersBetween(trust.state, { from: to, to });
  const key = cosigners.find((one) => one.city === city)?.key;
  if (key === undefined) return undefined;
  const isIn = signatures.some(({ name, keyId }) => name === key.name && keyId === key.keyId);
  if (!isIn) return undefined;
  const { term, origin, size } = readHead(trust, note, verifier);
  return { key: toHex(key.publicKey), term, origin, size };
}

/** The note as its log signed it, without cosignatures. */
export function headOfNote(note: Uint8Array): Uint8Array {
  const { text, signatures } = parseNote(note);
  const { origin } = parseCheckpoint(text);
  return formatNote({ text, signatures: signatures.filter(({ name }) => name === origin) });
}

/** The head with the cosignatures of a quorum. */
export function joinCosignatures(head: Uint8Array, lines: readonly NoteSignature[]): Uint8Array {
  return formatNote(addSignatures(parseNote(head), lines));
}
