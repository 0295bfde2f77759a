/** Signed notes (C2SP signed-note): a text and the signatures under it, parsed strictly and printed back. */
import { concatBytes, parseBase64, parseUtf8, toBase64, u32be, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { noteBytesMax, noteSignaturesMax } from "../base/limits.ts";
import { isKeyName, isNoteText } from "./text.ts";

/** One signature line. What it says is not verified. */
export interface NoteSignature {
  readonly name: string;
  /** Unsigned 32 bits; with the name it tells which key should verify. */
  readonly keyId: number;
  /** What follows the key id, at least one byte; its form is the key type's. */
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** Ends in LF. What is signed is its UTF-8 encoding. */
  readonly text: string;
  /** In the order of the note, at least one. */
  readonly signatures: readonly NoteSignature[];
}

const keyIdBytes = 4;
const linePattern = /^— ([^ ]+) ([A-Za-z0-9+/]+={0,2})$/u;

/**
 * A note from its bytes. Nothing is verified.
 * Throws TOO_LARGE above the limits of bytes and signatures, NOTE_INVALID for anything that
 * `formatNote` would not print.
 */
export function parseNote(bytes: Uint8Array): SignedNote {
  assertNoteBytes(bytes);
  const whole = parseUtf8(bytes);
  if (whole === undefined) throw invalid("the note is not UTF-8");
  const blank = whole.lastIndexOf("\n\n");
  if (blank === -1) throw invalid("no empty line before the signatures");
  const text = whole.slice(0, blank + 1);
  if (!isNoteText(text)) throw invalid("the text holds a control byte");
  // Each part has one form: the text stands as it is, and a line is a name and canonical base64.
  return { text, signatures: parseLines(whole.slice(blank + 2)) };
}

/** The bytes of a note. `RangeError` for a text, name or signature that a note cannot carry. */
export function formatNote(note: SignedNote): Uint8Array {
  if (!isNoteText(note.text)) throw new RangeError("not the text of a note");
  return concatBytes(utf8(`${note.text}\n`), formatSignatureLines(note.signatures));
}

/** The lines of signatures, as a witness answers them. Throws as `parseNote` does. */
export function parseSignatureLines(bytes: Uint8Array): readonly NoteSignature[] {
  assertNoteBytes(bytes);
  const text = parseUtf8(bytes);
  if (text === undefined) throw invalid("the signature lines are not UTF-8");
  return parseLines(text);
}

/** The bytes of signature lines. `RangeError` for none, or for what a line cannot carry. */
export function formatSignatureLines(signatures: readonly NoteSignature[]): Uint8Array {
  if (signatures.length === 0) throw new RangeError("a note has at least one signature");
  return utf8(signatures.map(formatLine).join(""));
}

function formatLine({ name, keyId, signature }: NoteSignature): string {
  if (!isKeyName(name)) throw new RangeError("not the name of a key");
  if (signature.length === 0) throw new RangeError("an empty signature");
  return `— ${name} ${toBase64(concatBytes(u32be(keyId), signature))}\n`;
}

function parseLines(text: string): readonly NoteSignature[] {
  if (!text.endsWith("\n")) throw invalid("the last signature line does not end in a line feed");
  const lines = text.slice(0, -1).split("\n");
  if (lines.length > noteSignaturesMax) {
    throw new CausewayError("TOO_LARGE", `a note has at most ${noteSignaturesMax} signatures`);
  }
  return lines.map(parseLine);
}

function parseLine(line: string): NoteSignature {
  const [, name, encoded] = linePattern.exec(line) ?? [];
  if (name === undefined || encoded === undefined || !isKeyName(name)) {
    throw invalid("a signature line is malformed");
  }
  const blob = parseBase64(encoded);
  if (blob === undefined || blob.length <= keyIdBytes) {
    throw invalid("a signature line does not hold canonical base64 of key id and signature");
  }
  return {
    name,
    keyId: new DataView(blob.buffer, blob.byteOffset).getUint32(0),
    signature: blob.subarray(keyIdBytes),
  };
}

function assertNoteBytes(bytes: Uint8Array): void {
  if (bytes.length > noteBytesMax) {
    throw new CausewayError("TOO_LARGE", `a note has at most ${noteBytesMax} bytes`);
  }
}

function invalid(message: string): CausewayError {
  return new CausewayError("NOTE_INVALID", message);
}
