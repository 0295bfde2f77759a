/** Checkpoints (C2SP tlog-checkpoint): the text of a log's signed head. */
import { equalBytes, toBase64 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { emptyRoot, hashBytes } from "../merkle/hash.ts";
import { parseTreeSize, toTreeSize } from "../merkle/size.ts";
import { isNoteText, parseHashLine } from "./text.ts";

export interface Checkpoint {
  /** Identity of the log, one line. */
  readonly origin: string;
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** Further lines, none empty. They are read, and never signed by us: no auditor can check them. */
  readonly extensions: readonly string[];
}

/**
 * A checkpoint from the text of a note.
 * Throws CHECKPOINT_INVALID for what `formatCheckpoint` would not print, and for sizes above 2^63-1.
 */
export function parseCheckpoint(text: string): Checkpoint {
  if (!isNoteText(text)) throw invalid("not the text of a note");
  const lines = text.slice(0, -1).split("\n");
  if (lines.includes("")) throw invalid("an empty line");
  const [origin, sizeLine, rootLine, ...extensions] = lines;
  const size = parseTreeSize(sizeLine ?? "");
  if (size === undefined) throw invalid("the second line is no tree size up to 2^63-1");
  const root = parseHashLine(rootLine ?? "");
  if (root === undefined) throw invalid("the third line is no root hash");
  return { origin: origin as string, size, root, extensions };
}

/** The text of a checkpoint. `RangeError` for what a checkpoint cannot say. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, root, extensions } = checkpoint;
  const size = toTreeSize(checkpoint.size);
  if (root.length !== hashBytes) throw new RangeError("a root hash has 32 bytes");
  for (const line of [origin, ...extensions]) {
    if (line === "" || line.includes("\n")) throw new RangeError("not one line of a checkpoint");
  }
  const text = `${[origin, size, toBase64(root), ...extensions].join("\n")}\n`;
  if (!isNoteText(text)) throw new RangeError("a control byte in a checkpoint");
  return text;
}

/**
 * Throws CHECKPOINT_INVALID for a checkpoint that must not be signed: with extension lines, or of
 * size 0 with another root than the empty tree's.
 */
export function assertSignable(checkpoint: Checkpoint): void {
  if (checkpoint.extensions.length > 0) throw invalid("extension lines are not signed");
  assertEmptyRoot(checkpoint);
}

/** Throws CHECKPOINT_INVALID for size 0 with another root than the empty tree's. */
export function assertEmptyRoot(checkpoint: Checkpoint): void {
  if (checkpoint.size === 0n && !equalBytes(checkpoint.root, emptyRoot)) {
    throw invalid("size 0 with a root that is not the empty tree's");
  }
}

function invalid(message: string): CausewayError {
  return new CausewayError("CHECKPOINT_INVALID", message);
}
