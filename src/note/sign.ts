/** The signing side of notes: the log signs its checkpoint, a witness cosigns it. */
import { utf8 } from "../base/bytes.ts";
import { assertSignable, type Checkpoint, formatCheckpoint } from "./checkpoint.ts";
import { cosignatureMessage, formatCosignature } from "./cosignature.ts";
import type { NoteSignature, SignedNote } from "./note.ts";
import { cosignatureType, createVerifierKey, ed25519Type } from "./verifier-key.ts";

/** An Ed25519 key that signs. */
export interface NoteSigner {
  /** Raw 32-byte public key. */
  readonly publicKey: Uint8Array;
  /** The 64-byte signature of `message`. */
  sign(message: Uint8Array): Uint8Array;
}

/**
 * The log's note of a checkpoint; the key's name is the origin.
 * Throws CHECKPOINT_INVALID for extension lines, and for size 0 with another root than the empty tree's.
 * That the checkpoint is consistent with every earlier one is the caller's to know.
 */
export function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): SignedNote {
  assertSignable(checkpoint);
  const text = formatCheckpoint(checkpoint);
  const { publicKey } = signer;
  const { name, keyId } = createVerifierKey({
    name: checkpoint.origin,
    type: ed25519Type,
    publicKey,
  });
  return { text, signatures: [{ name, keyId, signature: signer.sign(utf8(text)) }] };
}

/**
 * A witness's cosignature of a checkpoint at `timeMs` (Unix milliseconds, cut to the second).
 * Throws CHECKPOINT_INVALID as `signCheckpoint` does; `RangeError` for a time before 1 s, which no quorum counts.
 * That the checkpoint extends what this key has cosigned before is the caller's to know.
 */
export function cosignCheckpoint(options: {
  readonly checkpoint: Checkpoint;
  readonly name: string;
  readonly signer: NoteSigner;
  readonly timeMs: number;
}): NoteSignature {
  const { checkpoint, signer, timeMs } = options;
  assertSignable(checkpoint);
  if (!Number.isSafeInteger(timeMs) || timeMs < 1000)
    throw new RangeError("no time of a cosignature");
  const timestamp = BigInt(Math.floor(timeMs / 1000));
  const { publicKey } = signer;
  const { name, keyId } = createVerifierKey({
    name: options.name,
    type: cosignatureType,
    publicKey,
  });
  const signature = signer.sign(cosignatureMessage(timestamp, formatCheckpoint(checkpoint)));
  return { name, keyId, signature: formatCosignature({ timestamp, signature }) };
}

/** The note with further signatures after those that it has. */
export function addSignatures(note: SignedNote, signatures: readonly NoteSignature[]): SignedNote {
  return { text: note.text, signatures: [...note.signatures, ...signatures] };
}
