/** The id of an exchange as people write it: a UUIDv7. */
import { parseHex, toHex } from "../src/base/bytes.ts";

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The 16 bytes of an exchange's id; `undefined` for any other text. */
export function xidOfText(text: string): Uint8Array | undefined {
  return uuid.test(text) ? parseHex(text.replaceAll("-", "")) : undefined;
}

/** Unix milliseconds of an exchange's id. */
export function timeOfXid(xid: Uint8Array): number {
  return Number.parseInt(toHex(xid.subarray(0, 6)), 16);
}
