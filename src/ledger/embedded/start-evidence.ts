/**
 * The bytes of what shows where a term begins: lines of text, as C2SP writes proofs. First `start <size>`
 * and `conflict <city> <city>`, then the root and the consistency proof of the conflict; for each part an
 * empty line, `part <city>`, root, leaf hash, the consistency proof and, behind `inclusion`, the inclusion
 * proof. Hashes are base64, one to a line.
 */
import { parseBase64, parseUtf8, toBase64, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { isId } from "../../base/ids.ts";
import { inclusionHashesMax, startEvidenceBytesMax } from "../../base/limits.ts";
import { hashBytes } from "../../merkle/hash.ts";
import { parseTreeSize } from "../../merkle/size.ts";
import type { StartConflict, StartEvidence, StartPart } from "./term-start.ts";

const inclusionMark = "inclusion";

export function formatStartEvidence({ start, conflict, parts }: StartEvidence): Uint8Array {
  const blocks = [
    [
      `start ${start}`,
      `conflict ${conflict.smaller} ${conflict.larger}`,
      ...[conflict.root, ...conflict.consistency].map(toBase64),
    ],
    ...parts.map(({ city, root, leafHash, consistency, inclusion }) => [
      `part ${city}`,
      ...[root, leafHash, ...consistency].map(toBase64),
      inclusionMark,
      ...inclusion.map(toBase64),
    ]),
  ];
  return utf8(`${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`);
}

/** Throws TOO_LARGE above the limit of bytes, MALFORMED for what `formatStartEvidence` would not write. */
export function parseStartEvidence(bytes: Uint8Array): StartEvidence {
  if (bytes.length > startEvidenceBytesMax) {
    throw new CausewayError("TOO_LARGE", `evidence has at most ${startEvidenceBytesMax} bytes`);
  }
  const text = parseUtf8(bytes);
  if (text?.endsWith("\n") !== true) throw malformed("no text of whole lines");
  const [first = "", ...rest] = text.slice(0, -1).split("\n\n");
  const [startLine = "", conflictLine = "", ...hashes] = first.split("\n");
  const start = parseTreeSize(afterWord(startLine, "start"));
  if (start === undefined) throw malformed("no start");
  return {
    start,
    conflict: parseConflictOf(conflictLine, hashes),
    parts: rest.map((block) => parsePart(block.split("\n"))),
  };
}

function parseConflictOf(line: string, lines: readonly string[]): StartConflict {
  const [smaller = "", larger = "", ...more] = afterWord(line, "conflict").split(" ");
  if (more.length > 0) throw malformed("more than two cities");
  const [root, ...consistency] = parseHashes(lines);
  if (root === undefined) throw malformed("a conflict without a root");
  return { smaller: cityOf(smaller), larger: cityOf(larger), root, consistency };
}

function parsePart([first = "", ...lines]: readonly string[]): StartPart {
  const mark = lines.indexOf(inclusionMark);
  if (mark < 0) throw malformed("a part without an inclusion proof");
  const [root, leafHash, ...consistency] = parseHashes(lines.slice(0, mark));
  if (root === undefined || leafHash === undefined) throw malformed("a part without its hashes");
  const inclusion = parseHashes(lines.slice(mark + 1));
  return { city: cityOf(afterWord(first, "part")), root, leafHash, consistency, inclusion };
}

function parseHashes(lines: readonly string[]): readonly Uint8Array[] {
  if (lines.length > inclusionHashesMax + 2) throw malformed("too many hashes");
  return lines.map((line) => {
    const hash = parseBase64(line);
    if (hash?.length !== hashBytes) throw malformed("a line that is no hash");
    return hash;
  });
}

function afterWord(line: string, word: string): string {
  if (!line.startsWith(`${word} `)) throw malformed(`no line of the ${word}`);
  return line.slice(word.length + 1);
}

function cityOf(text: string): string {
  if (!isId(text, 1)) throw malformed("no city");
  return text;
}

function malformed(what: string): CausewayError {
  return new CausewayError("MALFORMED", `not the evidence of a start: ${what}`);
}
