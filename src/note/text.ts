/** What the texts of notes, their key names and their leading lines have in common. */
import { parseBase64, parseUtf8 } from "../base/bytes.ts";
import { hashBytes } from "../merkle/hash.ts";

// Control bytes below 0x20 except LF, and halves of surrogate pairs, which have no UTF-8.
const forbiddenInText = /[^\n\u0020-\u{10ffff}]|\p{Surrogate}/u;
const forbiddenInName = /[\p{White_Space}+]/u;

/** Whether `text` may be a note's text (C2SP signed-note): ends in LF, no other control byte below 0x20. */
export function isNoteText(text: string): boolean {
  return text.endsWith("\n") && !forbiddenInText.test(text);
}

/** Whether `name` may be a key's name: not empty, no white space, no `+`, no control byte. */
export function isKeyName(name: string): boolean {
  return name !== "" && !forbiddenInName.test(name) && !forbiddenInText.test(name);
}

const lf = 0x0a;

/** The lines before the first empty line, and the bytes after it; `undefined` where there is none. */
export function splitAtEmptyLine(
  bytes: Uint8Array,
): { readonly lines: readonly string[]; readonly rest: Uint8Array } | undefined {
  let at = bytes.indexOf(lf);
  while (at !== -1 && bytes[at + 1] !== lf) at = bytes.indexOf(lf, at + 1);
  if (at === -1) return undefined;
  const text = parseUtf8(bytes.subarray(0, at));
  return text === undefined ? undefined : { lines: text.split("\n"), rest: bytes.subarray(at + 2) };
}

/** The hash that a line of canonical base64 gives, or `undefined`. */
export function parseHashLine(line: string): Uint8Array | undefined {
  const hash = parseBase64(line);
  return hash?.length === hashBytes ? hash : undefined;
}

/** The hashes of lines of canonical base64, or `undefined` when a line gives none. */
export function parseHashLines(lines: readonly string[]): readonly Uint8Array[] | undefined {
  const hashes = lines.map(parseHashLine);
  return hashes.every((hash) => hash !== undefined) ? hashes : undefined;
}
