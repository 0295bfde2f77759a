/** Offline proofs that a leaf is in a log (C2SP tlog-proof). */
import { concatBytes, parseBase64, toBase64, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { inclusionHashesMax, tlogProofBytesMax } from "../base/limits.ts";
import { hashBytes } from "../merkle/hash.ts";
import { parseTreeSize, toTreeSize } from "../merkle/size.ts";
import { parseHashLines, splitAtEmptyLine } from "./text.ts";

export interface TlogProof {
  /** Not authenticated by the proof; absent when empty. */
  readonly extra?: Uint8Array;
  readonly index: bigint;
  /** Inclusion proof, the leaf's sibling first. */
  readonly proof: readonly Uint8Array[];
  /** The checkpoint's note, verbatim. */
  readonly checkpoint: Uint8Array;
}

const firstLine = "c2sp.org/tlog-proof@v1";
const extraStart = "extra ";
const indexStart = "index ";

/** The bytes of a `.tlog-proof`. `RangeError` for what it cannot carry. */
export function formatTlogProof(tlogProof: TlogProof): Uint8Array {
  const { extra, index, proof, checkpoint } = tlogProof;
  if (proof.length > inclusionHashesMax || proof.some((hash) => hash.length !== hashBytes)) {
    throw new RangeError(`a proof has at most ${inclusionHashesMax} hashes of 32 bytes`);
  }
  const lines = [firstLine];
  if (extra !== undefined && extra.length > 0) lines.push(`${extraStart}${toBase64(extra)}`);
  lines.push(`${indexStart}${toTreeSize(index)}`, ...proof.map(toBase64));
  if (checkpoint.length === 0) throw new RangeError("a proof has a checkpoint");
  return concatBytes(utf8(`${lines.join("\n")}\n\n`), checkpoint);
}

/**
 * A proof from its bytes. Neither checkpoint nor inclusion is verified: that takes the leaf and the
 * keys (`evaluateQuorum`, `verifyInclusion`).
 * Throws TOO_LARGE above the limit of bytes, MALFORMED for what `formatTlogProof` would not print.
 */
export function parseTlogProof(bytes: Uint8Array): TlogProof {
  if (bytes.length > tlogProofBytesMax) {
    throw new CausewayError("TOO_LARGE", `a tlog-proof has at most ${tlogProofBytesMax} bytes`);
  }
  const { lines, rest: checkpoint } = splitAtEmptyLine(bytes) ?? raise("no checkpoint");
  if (lines[0] !== firstLine) raise("another first line");
  const hasExtra = lines[1]?.startsWith(extraStart) ?? false;
  const [indexLine = "", ...hashLines] = lines.slice(hasExtra ? 2 : 1);
  if (!indexLine.startsWith(indexStart)) raise("no index line");
  const index = parseTreeSize(indexLine.slice(indexStart.length)) ?? raise("no index");
  if (hashLines.length > inclusionHashesMax) raise("too many hashes");
  const proof = parseHashLines(hashLines) ?? raise("a line that is no hash");
  if (checkpoint.length === 0) raise("no checkpoint");
  if (!hasExtra) return { index, proof, checkpoint };
  const extra = parseBase64((lines[1] as string).slice(extraStart.length));
  if (extra === undefined || extra.length === 0) raise("extra data that is no base64");
  return { extra, index, proof, checkpoint };
}

function raise(what: string): never {
  throw new CausewayError("MALFORMED", `not a tlog-proof: ${what}`);
}
