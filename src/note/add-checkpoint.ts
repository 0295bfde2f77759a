/** The request body of a witness's `add-checkpoint` (C2SP tlog-witness). */
import { concatBytes, toBase64, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { addCheckpointBytesMax, witnessProofLinesMax } from "../base/limits.ts";
import { hashBytes } from "../merkle/hash.ts";
import { parseTreeSize, toTreeSize } from "../merkle/size.ts";
import { parseHashLines, splitAtEmptyLine } from "./text.ts";

export interface AddCheckpointRequest {
  /** Size that the witness is thought to have cosigned last. */
  readonly oldSize: bigint;
  /** Consistency proof from there. */
  readonly proof: readonly Uint8Array[];
  /** The checkpoint's note, verbatim. */
  readonly checkpoint: Uint8Array;
}

const oldStart = "old ";

/** The body of a request. `RangeError` for what it cannot carry. */
export function formatAddCheckpoint(request: AddCheckpointRequest): Uint8Array {
  const { oldSize, proof, checkpoint } = request;
  if (proof.length > witnessProofLinesMax || proof.some((hash) => hash.length !== hashBytes)) {
    throw new RangeError(`a proof has at most ${witnessProofLinesMax} hashes of 32 bytes`);
  }
  if (checkpoint.length === 0) throw new RangeError("a request has a checkpoint");
  const lines = [`${oldStart}${toTreeSize(oldSize)}`, ...proof.map(toBase64)];
  return concatBytes(utf8(`${lines.join("\n")}\n\n`), checkpoint);
}

/**
 * A request from its body. The note inside is not parsed.
 * Throws TOO_LARGE above the limit of bytes, MALFORMED for what `formatAddCheckpoint` would not print.
 */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpointRequest {
  if (body.length > addCheckpointBytesMax) {
    throw new CausewayError("TOO_LARGE", `a request has at most ${addCheckpointBytesMax} bytes`);
  }
  const { lines, rest: checkpoint } = splitAtEmptyLine(body) ?? raise("no checkpoint");
  const [oldLine = "", ...hashLines] = lines;
  if (!oldLine.startsWith(oldStart)) raise("no line of the old size");
  const oldSize = parseTreeSize(oldLine.slice(oldStart.length)) ?? raise("no old size");
  if (hashLines.length > witnessProofLinesMax) raise("too many hashes");
  const proof = parseHashLines(hashLines) ?? raise("a line that is no hash");
  if (checkpoint.length === 0) raise("no checkpoint");
  return { oldSize, proof, checkpoint };
}

function raise(what: string): never {
  throw new CausewayError("MALFORMED", `not an add-checkpoint request: ${what}`);
}
