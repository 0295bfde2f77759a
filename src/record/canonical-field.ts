/** Where a member stands in a canonical encoding, found without building anything. */

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

const delimited = 2;

/**
 * The encoding of the member that the field numbers of `path` lead to, each inside of the one before; a
 * view of `bytes`, or `undefined` where one is absent. Members on the way, and the last, are messages,
 * texts or bytes. Of bytes that `assertCanonical` has not taken the answer means nothing.
 */
export function encodedMember(bytes: Uint8Array, path: readonly number[]): Uint8Array | undefined {
  const cursor = { bytes, at: 0 };
  let end = bytes.length;
  for (const number of path) {
    const found = seek(cursor, end, number * 8 + delimited);
    if (!found) return undefined;
    const length = readNumber(cursor);
    end = cursor.at + length;
  }
  return bytes.subarray(cursor.at, end);
}

/** Moves behind the first `tag`; whether it stands before `end`. */
function seek(cursor: Cursor, end: number, tag: number): boolean {
  while (cursor.at < end) {
    const found = readNumber(cursor);
    if (found === tag) return true;
    if (found > tag) return false;
    const value = readNumber(cursor);
    if (found % 8 === delimited) cursor.at += value;
  }
  return false;
}

/** A varint; what it says from 2^53 on is rounded, which no tag or length is. */
function readNumber(cursor: Cursor): number {
  const { bytes } = cursor;
  let value = 0;
  for (let scale = 1; cursor.at < bytes.length; scale *= 128) {
    const byte = bytes[cursor.at++] as number;
    value += (byte & 127) * scale;
    if (byte < 128) break;
  }
  return value;
}
