/** Byte strings one after another, each behind its length as u32be: bodies of batches, and messages between threads. */
import { AssertionError } from "../../base/errors.ts";

const lengthBytes = 4;

/** Bytes that `frame` makes of items with these lengths. */
export function framedBytes(items: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const item of items) bytes += lengthBytes + item.length;
  return bytes;
}

/** u32be length ‖ item, for each item in order. */
export function frame(items: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(framedBytes(items));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const item of items) {
    view.setUint32(at, item.length);
    out.set(item, at + lengthBytes);
    at += lengthBytes + item.length;
  }
  return out;
}

/** The items of what `frame` made, as views. Bytes that it cannot have made break an invariant. */
export function unframe(bytes: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const items: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end =
      at + lengthBytes > bytes.length ? Number.NaN : at + lengthBytes + view.getUint32(at);
    if (!(end <= bytes.length)) throw new AssertionError("frames end inside an item");
    items.push(bytes.subarray(at + lengthBytes, end));
    at = end;
  }
  return items;
}
