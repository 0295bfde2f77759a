/** Verification of notes: keys are data that the caller trusts, Ed25519 is a function that it passes in. */
import { utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { cosignatureMessage, parseCosignature } from "./cosignature.ts";
import { type NoteSignature, parseNote, type SignedNote } from "./note.ts";
import { ed25519Type, type VerifierKey } from "./verifier-key.ts";

/** The one Ed25519 rule; `false` means that the signature does not match. */
export type VerifyEd25519 = (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => boolean;

/** A signature of a known key that verified. */
export interface VerifiedSignature {
  readonly key: VerifierKey;
  /** POSIX seconds, of a cosignature. */
  readonly timestamp?: bigint;
}

/**
 * The signatures of known keys, in the order of the note; those of unknown (name, key id) are ignored.
 * Throws SIGNATURE_INVALID when one of a known pair fails, which rejects the whole note, and
 * NOTE_SIGNER_UNKNOWN when there is none of a known pair.
 */
export function verifyNote(options: {
  readonly note: SignedNote;
  readonly keys: readonly VerifierKey[];
  readonly verify: VerifyEd25519;
}): readonly VerifiedSignature[] {
  const { note, keys, verify } = options;
  const verified: VerifiedSignature[] = [];
  for (const signature of note.signatures) {
    const known = keys.filter((key) => isOf(signature, key));
    if (known.length > 0) verified.push(verifyOne(note.text, signature, known, verify));
  }
  if (verified.length > 0) return verified;
  throw new CausewayError("NOTE_SIGNER_UNKNOWN", "no signature of a known key");
}

/** A checkpoint whose log's signature verified. */
export interface OpenedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly note: SignedNote;
  /** Of the log and of the known cosigners. */
  readonly signatures: readonly VerifiedSignature[];
}

/**
 * A checkpoint of the log whose key is named like its origin, signed by the log.
 * Throws what `parseNote`, `parseCheckpoint` and `verifyNote` throw, CHECKPOINT_INVALID for another
 * origin, and NOTE_SIGNER_UNKNOWN without the log's signature.
 */
export function openCheckpoint(options: {
  readonly note: Uint8Array;
  readonly logKey: VerifierKey;
  readonly cosignerKeys?: readonly VerifierKey[];
  readonly verify: VerifyEd25519;
}): OpenedCheckpoint {
  const { logKey, cosignerKeys = [], verify } = options;
  const note = parseNote(options.note);
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.origin !== logKey.name) {
    throw new CausewayError("CHECKPOINT_INVALID", "the checkpoint is of another origin");
  }
  const signatures = verifyNote({ note, keys: [logKey, ...cosignerKeys], verify });
  if (!signatures.some(({ key }) => key === logKey)) {
    throw new CausewayError("NOTE_SIGNER_UNKNOWN", "the log has not signed the checkpoint");
  }
  return { checkpoint, note, signatures };
}

function isOf(signature: NoteSignature, key: VerifierKey): boolean {
  return signature.keyId === key.keyId && signature.name === key.name;
}

/** Key ids have 32 bits, so that a pair may name more than one key: any of them may verify. */
function verifyOne(
  text: string,
  signature: NoteSignature,
  keys: readonly VerifierKey[],
  verify: VerifyEd25519,
): VerifiedSignature {
  for (const key of keys) {
    const verified = verifyUnder(key, text, signature.signature, verify);
    if (verified !== undefined) return verified;
  }
  throw new CausewayError("SIGNATURE_INVALID", `the signature of ${signature.name} is wrong`, {
    fields: { key: signature.name },
  });
}

function verifyUnder(
  key: VerifierKey,
  text: string,
  signature: Uint8Array,
  verify: VerifyEd25519,
): VerifiedSignature | undefined {
  if (key.type === ed25519Type) {
    return verify(key.publicKey, utf8(text), signature) ? { key } : undefined;
  }
  const cosignature = parseCosignature(signature);
  if (cosignature === undefined) return undefined;
  const { timestamp } = cosignature;
  const message = cosignatureMessage(timestamp, text);
  return verify(key.publicKey, message, cosignature.signature) ? { key, timestamp } : undefined;
}
