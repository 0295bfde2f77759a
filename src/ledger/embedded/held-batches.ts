/**
 * Batches that a witness holds until they are final, so that no sequencer can leave one out: passed on
 * after half of the inclusion bound, and a reason not to cosign once the bound is over. In memory alone:
 * the journals still have them. Pure; times are monotonic milliseconds. DESIGN.md section 7 (omission).
 */
import { toHex } from "../../base/bytes.ts";
import { heldBatchesBytesMax, heldBatchesMax, heldBytesMax } from "../../base/limits.ts";
import { totalBytes } from "../../record/batch.ts";
import type { VerifiedBatch } from "../../registry/verify-batch.ts";
import type { SealedBatch } from "../ports.ts";
import type { ChainPlace } from "../store/store.ts";

export interface HeldBatch {
  readonly batch: SealedBatch;
  readonly verified: VerifiedBatch;
  /** Hex: what it is known by. */
  readonly leafHash: string;
  readonly place: ChainPlace;
  readonly bytes: number;
  /** When the bound began for it. */
  readonly heldAtMs: number;
  /** When it is passed on, again and again until it is included. */
  readonly forwardAtMs: number;
  readonly isForwarded: boolean;
  /** Where the own replica has it. */
  readonly index?: bigint;
}

/** By leaf hash, in the order in which they came. */
export type HeldBatches = ReadonlyMap<string, HeldBatch>;

/** A batch whose bytes and leaf signature are right. */
export interface BatchToHold {
  readonly batch: SealedBatch;
  readonly verified: VerifiedBatch;
  /** Where the own replica has it already. */
  readonly index?: bigint | undefined;
}

/** With the batch, or `"full"` when its gateway or all gateways together have as much here as they may. */
export function holdBatch(
  held: HeldBatches,
  { batch, verified, index }: BatchToHold,
  when: { readonly nowMs: number; readonly boundMs: number },
): HeldBatches | "full" {
  const leafHash = toHex(verified.leafHash);
  if (held.has(leafHash)) return held;
  const { gateway, epoch, seq } = verified.header;
  const bytes = batch.leaf.length + totalBytes(batch.records);
  if (!hasRoom(held, gateway, bytes)) return "full";
  return new Map(held).set(leafHash, {
    batch,
    verified,
    leafHash,
    place: { gateway, epoch, seq },
    bytes,
    heldAtMs: when.nowMs,
    forwardAtMs: when.nowMs + when.boundMs / 2,
    isForwarded: false,
    ...(index === undefined ? {} : { index }),
  });
}

function hasRoom(held: HeldBatches, gateway: string, bytes: number): boolean {
  let count = 1;
  let bytesOfGateway = bytes;
  let bytesOfAll = bytes;
  for (const other of held.values()) {
    bytesOfAll += other.bytes;
    if (other.place.gateway !== gateway) continue;
    count++;
    bytesOfGateway += other.bytes;
  }
  return (
    count <= heldBatchesMax && bytesOfGateway <= heldBatchesBytesMax && bytesOfAll <= heldBytesMax
  );
}

/** The own replica has included a batch. */
export function noteIncluded(held: HeldBatches, leafHash: string, index: bigint): HeldBatches {
  const one = held.get(leafHash);
  return one === undefined ? held : new Map(held).set(leafHash, { ...one, index });
}

/** The own replica has dropped its leaves from `size` on: what it had there is included no more. */
export function noteDropped(held: HeldBatches, size: bigint): HeldBatches {
  return new Map(
    [...held].map(([leafHash, { index, ...one }]) => [
      leafHash,
      index === undefined || index >= size ? one : { ...one, index },
    ]),
  );
}

/**
 * Lets go of what is final below `size`, and of what can never be: its place in its chain, or a later
 * one, is final with another batch. `tips` are the newest final places of chains.
 */
export function dropFinal(
  held: HeldBatches,
  size: bigint,
  tips: readonly ChainPlace[],
): HeldBatches {
  const tipOf = new Map(tips.map((tip) => [tip.gateway, tip]));
  const kept = [...held].filter(([, { index, place }]) => {
    if (index !== undefined && index < size) return false;
    const tip = tipOf.get(place.gateway);
    return tip === undefined || isAfter(place, tip);
  });
  return kept.length === held.size ? held : new Map(kept);
}

function isAfter(a: ChainPlace, b: ChainPlace): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

/**
 * A term began at `size`: what stood above is not included any more, and the bound begins anew for each,
 * because the sequencer is another one.
 */
export function beginTerm(
  held: HeldBatches,
  size: bigint,
  when: { readonly nowMs: number; readonly boundMs: number },
): HeldBatches {
  return new Map(
    [...noteDropped(held, size)].map(([leafHash, one]) => [
      leafHash,
      {
        ...one,
        heldAtMs: when.nowMs,
        forwardAtMs: when.nowMs + when.boundMs / 2,
        isForwarded: false,
      },
    ]),
  );
}

/** What is to be passed on now; it is passed on again a quarter of the bound later. */
export function takeForwards(
  held: HeldBatches,
  when: { readonly nowMs: number; readonly boundMs: number },
): { readonly held: HeldBatches; readonly forwards: readonly HeldBatch[] } {
  const { nowMs, boundMs } = when;
  const forwards = [...held.values()].filter(
    ({ index, forwardAtMs }) => index === undefined && forwardAtMs <= nowMs,
  );
  if (forwards.length === 0) return { held, forwards };
  const next = new Map(held);
  for (const one of forwards) {
    next.set(one.leafHash, { ...one, isForwarded: true, forwardAtMs: nowMs + boundMs / 4 });
  }
  return { held: next, forwards };
}

/** What was passed on and is held for longer than the bound, whether included since or not. */
export function overdueBatches(
  held: HeldBatches,
  when: { readonly nowMs: number; readonly boundMs: number },
): readonly HeldBatch[] {
  return [...held.values()].filter(
    ({ isForwarded, heldAtMs }) => isForwarded && when.nowMs - heldAtMs > when.boundMs,
  );
}

/** Milliseconds until something is to be passed on. */
export function forwardInMs(held: HeldBatches, nowMs: number): number | undefined {
  const times = [...held.values()].flatMap(({ index, forwardAtMs }) =>
    index === undefined ? [forwardAtMs - nowMs] : [],
  );
  return times.length === 0 ? undefined : Math.max(0, Math.min(...times));
}
