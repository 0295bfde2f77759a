/** How people and programs name a record: by handle from its seal on, by address once it is included. */
import { parseHex, toHex } from "../base/bytes.ts";
import { batchRecordsMax } from "../base/limits.ts";
import { hashBytes } from "../merkle/hash.ts";
import { parseTreeSize } from "../merkle/size.ts";

/** A record in a sealed batch. */
export interface RecordHandle {
  readonly leafHash: Uint8Array;
  readonly position: number;
}

/** A record on the ledger. */
export interface RecordAddress {
  readonly index: bigint;
  readonly position: number;
}

/** `<leaf hash in hex>/<position>`. */
export function formatHandle(leafHash: Uint8Array, position: number): string {
  return `${toHex(leafHash)}/${position}`;
}

/** The handle that `text` is, in the one form of `formatHandle`; `undefined` for anything else. */
export function parseHandle(text: string): RecordHandle | undefined {
  const [first = "", second = "", ...more] = text.split("/");
  const leafHash = parseHex(first);
  const position = parsePosition(second);
  if (more.length > 0 || leafHash?.length !== hashBytes || position === undefined) return undefined;
  return { leafHash, position };
}

/** `<index>/<position>`. */
export function formatAddress(index: bigint, position: number): string {
  return `${index}/${position}`;
}

/** The address that `text` is, in the one form of `formatAddress`; `undefined` for anything else. */
export function parseAddress(text: string): RecordAddress | undefined {
  const [first = "", second = "", ...more] = text.split("/");
  const index = parseTreeSize(first);
  const position = parsePosition(second);
  if (more.length > 0 || index === undefined || position === undefined) return undefined;
  return { index, position };
}

function parsePosition(text: string): number | undefined {
  const position = parseTreeSize(text);
  return position !== undefined && position < batchRecordsMax ? Number(position) : undefined;
}
