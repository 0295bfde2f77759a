/** Bundles of log entries (C2SP tlog-tiles): each entry after its length as 16 bits, big-endian. */
import { CausewayError } from "../base/errors.ts";
import { tileWidth } from "./tile-path.ts";

/** Bytes of one entry: its length has 16 bits. */
export const bundleEntryBytesMax: number = 0xffff;

/** The bytes of a bundle of 1 to 256 entries. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length === 0 || entries.length > tileWidth) {
    throw new RangeError(`no bundle of ${entries.length} entries`);
  }
  const length = entries.reduce((sum, entry) => sum + 2 + entry.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const entry of entries) {
    if (entry.length > bundleEntryBytesMax) throw new RangeError("an entry is too long");
    bytes[at] = entry.length >>> 8;
    bytes[at + 1] = entry.length & 255;
    bytes.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bytes;
}

/** The entries of a bundle of `width`, as views of `bytes`. Throws MALFORMED unless it holds exactly these. */
export function decodeEntryBundle(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const begin = at + 2;
    const end = begin + (((bytes[at] as number) << 8) | (bytes[at + 1] ?? 0));
    if (end > bytes.length) throw new CausewayError("MALFORMED", "an entry ends after its bundle");
    entries.push(bytes.subarray(begin, end));
    at = end;
  }
  if (entries.length !== width) {
    throw new CausewayError("MALFORMED", `the bundle does not hold ${width} entries`);
  }
  return entries;
}
