/**
 * What main thread and seal worker say to each other. A batch is one byte string: structured clone
 * of many small objects costs more than the seal.
 */
import { parseUtf8, utf8 } from "../../base/bytes.ts";
import { AssertionError, assertInvariant } from "../../base/errors.ts";
import type { StateChange } from "../ports.ts";
import type { ThreadFailure } from "../thread/thread.ts";
import type { ClosedBatch, RecordKind } from "./close-machine.ts";
import { frame, framedBytes, unframe } from "./framing.ts";
import type { ChainTip, Deferred } from "./store.ts";

/** What the worker is started with. */
export interface SealWorkerData {
  /** Path of the journal's database. */
  readonly path: string;
  readonly gateway: string;
  readonly network: Uint8Array;
  readonly batchKeySeed: Uint8Array;
  /** Raw keys that the ledger binds to the gateway beside its own one. */
  readonly otherBatchKeys?: readonly Uint8Array[];
  /** The journal's newest unless given. */
  readonly epoch?: bigint;
  readonly boot: Uint8Array;
  readonly startedAtMs: number;
}

export type ToSealWorker =
  | { readonly kind: "seal"; readonly batch: Uint8Array }
  /** Committed with the next batch or the next `flush`. */
  | { readonly kind: "defer"; readonly deferred: Deferred }
  | { readonly kind: "flush" }
  | { readonly kind: "close" };

/** A durable batch. */
export interface SealResult {
  readonly number: number;
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leaf: Uint8Array;
  readonly leafHash: Uint8Array;
  /** As `packTree` makes it. */
  readonly tree: Uint8Array;
}

export type FromSealWorker =
  | {
      readonly kind: "ready";
      readonly tip: ChainTip | undefined;
      /** Of a journal in which nothing is sealed before this epoch. */
      readonly awaitedEpoch?: bigint;
    }
  | { readonly kind: "sealed"; readonly result: SealResult }
  | { readonly kind: "flushed" }
  | { readonly kind: "closed" }
  /** Nothing after this: before `ready` the journal could not be opened, later the process must end. */
  | ThreadFailure;

/** A closed batch as the worker reads it; records and body are views of the message. */
export interface SealJob {
  readonly kind: RecordKind;
  readonly seenSize: bigint;
  readonly seenRoot: Uint8Array;
  readonly firstAtMs: number;
  readonly sealedAtMs: number;
  readonly records: readonly Uint8Array[];
  /** The records, framed. */
  readonly body: Uint8Array;
  readonly states: readonly StateChange[];
}

// u8 kind, u64 seen size, 32 bytes seen root, u64 first at, u64 sealed at, u32 body length.
const fixedBytes = 1 + 8 + 32 + 8 + 8 + 4;

export function encodeSealJob<Ticket>(batch: ClosedBatch<Ticket>): Uint8Array {
  const records = batch.records.map((entry) => entry.record);
  const body = frame(records);
  const states = encodeStates(batch.records.flatMap((entry) => entry.states));
  const out = new Uint8Array(fixedBytes + body.length + framedBytes(states));
  const view = new DataView(out.buffer);
  assertInvariant(batch.seen.root.length === 32, "a root has 32 bytes");
  out[0] = batch.kind === "governance" ? 1 : 2;
  view.setBigUint64(1, batch.seen.size);
  out.set(batch.seen.root, 9);
  view.setBigUint64(41, BigInt(batch.firstAtMs));
  view.setBigUint64(49, BigInt(batch.sealedAtMs));
  view.setUint32(57, body.length);
  out.set(body, fixedBytes);
  out.set(frame(states), fixedBytes + body.length);
  return out;
}

export function decodeSealJob(bytes: Uint8Array): SealJob {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const bodyEnd = fixedBytes + view.getUint32(57);
  const body = bytes.subarray(fixedBytes, bodyEnd);
  return {
    kind: bytes[0] === 1 ? "governance" : "evidence",
    seenSize: view.getBigUint64(1),
    seenRoot: bytes.slice(9, 41),
    firstAtMs: Number(view.getBigUint64(41)),
    sealedAtMs: Number(view.getBigUint64(49)),
    records: unframe(body),
    body,
    states: decodeStates(unframe(bytes.subarray(bodyEnd))),
  };
}

const deleted = Uint8Array.of(0);
const present = 1;

/** Two items for each change: the key, and 1 ‖ value or 0 for a deletion. */
function encodeStates(states: readonly StateChange[]): readonly Uint8Array[] {
  return states.flatMap(({ key, value }) => [
    utf8(key),
    value === undefined ? deleted : flagged(value),
  ]);
}

function flagged(value: Uint8Array): Uint8Array {
  const out = new Uint8Array(1 + value.length);
  out[0] = present;
  out.set(value, 1);
  return out;
}

function decodeStates(items: readonly Uint8Array[]): readonly StateChange[] {
  const states: StateChange[] = [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    const key = parseUtf8(items[i] as Uint8Array);
    const value = items[i + 1] as Uint8Array;
    if (key === undefined) throw new AssertionError("the key of a state is not text");
    states.push(value[0] === present ? { key, value: value.subarray(1) } : { key });
  }
  return states;
}
