/**
 * Which erasures of openings stand on record: the store of openings numbers them from 1, and one record is
 * sealed of each, in their order.
 */
import { u64be } from "../base/bytes.ts";
import type { StateChange } from "../ledger/ports.ts";

/** Key of the journal's state that holds the number of the newest erasure on record. */
export const erasedStateKey: string = "openings/erased";

/** The state once the erasure of this number is on record. */
export function erasedState(number: number): StateChange {
  return { key: erasedStateKey, value: u64be(BigInt(number)) };
}

/** The number that a value of that state holds; 0 for none. */
export function erasedNumber(value: Uint8Array | undefined): number {
  if (value === undefined) return 0;
  return Number(new DataView(value.buffer, value.byteOffset, value.length).getBigUint64(0));
}
