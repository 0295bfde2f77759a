/** The fold: the network's rule book. Sequencer, replicas and auditor run this same function. */
import type { ReasonCode } from "../base/reasons.ts";
import type { Effects } from "../gen/causeway/registry/v1/effects_pb.ts";
import { carrierFault } from "./authority.ts";
import { appliedEffect, createEffects, nextDigest, voidEffect } from "./effects.ts";
import { effectOf } from "./meaning.ts";
import type { Change } from "./rule.ts";
import type { Ground } from "./standing.ts";
import type { FactAddress, RegistryState } from "./state.ts";
import { keyFault, type RootAt, structureFault, tipOf } from "./structure.ts";
import {
  isVerifiedFor,
  type RecordFact,
  rejected,
  type Rejection,
  type VerifiedBatch,
} from "./verify-batch.ts";

/** A governance record without effect. It stands, is evidence, and changes nothing. */
export interface VoidRecord {
  readonly position: number;
  readonly reason: ReasonCode;
}

/** A batch that has its index. */
export interface Applied {
  readonly kind: "applied";
  readonly state: RegistryState;
  readonly effects: Effects;
  /** Ascending by position. */
  readonly voids: readonly VoidRecord[];
}

/**
 * Applies one batch: pure, synchronous, deterministic; `state` is never changed. Structure decides
 * whether the batch gets the index, meaning what its governance records do there (DESIGN section 3).
 *
 * @param batch what `verifyBatch` made of it.
 * @param index the next one, `state.size`.
 * @param rootAt root of the first `size` leaves, asked for sizes up to `index`.
 * @returns a rejection with `NETWORK_UNKNOWN`, `GATEWAY_UNKNOWN`, `KEY_UNKNOWN`, `BATCH_KNOWN`,
 * `CHAIN_FORK`, `CHAIN_GAP`, `SEEN_DECREASING` or `SEEN_INVALID`; for batch 0 also the reason for which
 * its founding document would be void.
 * @throws RangeError for another index, or a batch that `isVerifiedFor` excludes.
 */
export function apply(
  state: RegistryState,
  batch: VerifiedBatch,
  index: bigint,
  rootAt: RootAt,
): Applied | Rejection {
  if (index !== state.size) throw new RangeError(`the next index is ${state.size}, not ${index}`);
  if (!isVerifiedFor(batch, state)) throw new RangeError("the batch is to be verified again");
  const fault = structureFault(state, batch, index, rootAt);
  if (fault !== undefined) return rejected(fault);
  const meaning = foldRecords(state, batch, index);
  const foundingFault = index === 0n ? foundingFaultOf(meaning, batch) : undefined;
  if (foundingFault !== undefined) return rejected(foundingFault);
  const effects = createEffects(meaning.effects);
  return {
    kind: "applied",
    state: {
      ...meaning.state,
      size: index + 1n,
      digest: nextDigest(state.digest, index, effects),
      chains: meaning.state.chains.with(batch.header.gateway, tipOf(batch, index)),
    },
    effects,
    voids: meaning.voids,
  };
}

interface Meaning {
  readonly state: RegistryState;
  readonly effects: Parameters<typeof createEffects>[0];
  readonly voids: readonly VoidRecord[];
}

function foldRecords(before: RegistryState, batch: VerifiedBatch, index: bigint): Meaning {
  let state = before;
  const effects: Meaning["effects"][number][] = [];
  const voids: VoidRecord[] = [];
  for (const [position, fact] of batch.facts.entries()) {
    const effect = effectOfFact(state, batch, { fact, address: { index, position } });
    if (typeof effect === "string") {
      effects.push(voidEffect(position));
      voids.push({ position, reason: effect });
    } else {
      state = effect.state;
      effects.push(appliedEffect(position, effect));
    }
  }
  return { state, effects, voids };
}

function effectOfFact(
  state: RegistryState,
  { header }: VerifiedBatch,
  { fact, address }: { readonly fact: RecordFact; readonly address: FactAddress },
): Change | ReasonCode {
  if (fact.kind === "void") return fact.reason;
  const { index } = address;
  const { seenSize, sealedAt } = header;
  const atS = Number(sealedAt / 1000n);
  const ground: Ground = { state, index, seenSize, sealedAtMs: Number(sealedAt), atS };
  // The carrier of batch 0 is admitted by a later position of it.
  const fault = index === 0n ? undefined : carrierFault(header.gateway, ground);
  return fault ?? effectOf(fact.said, { address, recordHash: fact.recordHash }, ground);
}

/** Batch 0 founds the network by its first record and admits a sequencer that can go on, or there is none. */
function foundingFaultOf({ state, voids }: Meaning, batch: VerifiedBatch): ReasonCode | undefined {
  const [voided] = voids;
  return voided?.position === 0 ? voided.reason : keyFault(state, batch);
}
