/** The journal's own state for attempts that are on record at the provider and not closed. */

const prefix = "provider/open/";

export interface OpenAttempt {
  readonly xid: Uint8Array;
  readonly attempt: number;
  /** Record hash of the attempt's newest record. */
  readonly prevRecord: Uint8Array;
}

export function openStateKey(attemptKey: string): string {
  return prefix + attemptKey;
}

export function isOpenStateKey(key: string): boolean {
  return key.startsWith(prefix);
}

/** xid, u32 big-endian attempt, record hash: 52 bytes. */
export function formatOpenAttempt(open: OpenAttempt): Uint8Array {
  const out = new Uint8Array(52);
  out.set(open.xid);
  new DataView(out.buffer).setUint32(16, open.attempt);
  out.set(open.prevRecord, 20);
  return out;
}

export function parseOpenAttempt(bytes: Uint8Array): OpenAttempt {
  if (bytes.length !== 52) throw new RangeError("an open attempt has 52 bytes");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { xid: bytes.slice(0, 16), attempt: view.getUint32(16), prevRecord: bytes.slice(20) };
}
