/** The fold: the network's rule book. Sequencer, replicas and auditor run this same function. */
import type { ReasonCode } from "../base/reasons.ts";
import type { Effects } from "../gen/causeway/registry/v1/effects_pb.ts";
import { appoint } from "./appointment.ts";
import { carrierFault } from "./authority.ts";
import { appliedEffect, createEffects, nextDigest, voidEffect } from "./effects.ts";
import { reportEquivocation } from "./equivocation.ts";
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
 * `CHAIN_FORK`, `CHAIN_GAP`, `CHAIN_FROZEN`, `CHAIN_ENDED`, `SEEN_DECREASING` or `SEEN_INVALID`; for
 * batch 0, and for the first of an epoch, also the reason for which its first record would be void.
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
  const meaning = foldBatch(state, batch, index, rootAt);
  const firstFault = firstFaultOf(state, meaning, batch);
  if (firstFault !== undefined) return rejected(firstFault);
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

interface Folded {
  readonly state: RegistryState;
  /** One for each record: what it does, or why it is void. */
  readonly outcomes: readonly (Change | ReasonCode)[];
}

/**
 * Votes on a sequencer open its term together or not at all. That shows when the whole batch is read, so
 * that a batch whose votes open none is read again with each of them void.
 */
function foldBatch(
  before: RegistryState,
  batch: VerifiedBatch,
  index: bigint,
  rootAt: RootAt,
): Meaning {
  const folded = foldRecords(before, batch, index);
  const ballots = folded.outcomes.flatMap((outcome) =>
    typeof outcome === "string" ? [] : (outcome.ballot ?? []),
  );
  if (ballots.length === 0) return meaningOf(folded);
  const term = appoint({ before, after: folded.state, index }, ballots, rootAt);
  if (typeof term === "string") return meaningOf(foldRecords(before, batch, index, term));
  const last = folded.outcomes.findLastIndex(
    (outcome) => typeof outcome !== "string" && outcome.ballot !== undefined,
  );
  const outcomes = folded.outcomes.map((outcome, position) =>
    position === last && typeof outcome !== "string"
      ? { ...outcome, results: [...outcome.results, ...term.results] }
      : outcome,
  );
  return meaningOf({ state: term.state, outcomes });
}

/** @param noTerm why the votes on a sequencer open no term. */
function foldRecords(
  before: RegistryState,
  batch: VerifiedBatch,
  index: bigint,
  noTerm?: ReasonCode,
): Folded {
  let state = before;
  const outcomes = batch.facts.map((fact, position) => {
    const effect = effectOfFact(state, batch, { fact, address: { index, position } });
    if (typeof effect === "string") return effect;
    if (effect.ballot !== undefined && noTerm !== undefined) return noTerm;
    state = effect.state;
    return effect;
  });
  return { state, outcomes };
}

function meaningOf({ state, outcomes }: Folded): Meaning {
  const effects = outcomes.map((outcome, position) =>
    typeof outcome === "string" ? voidEffect(position) : appliedEffect(position, outcome),
  );
  const voids = outcomes.flatMap((outcome, position) =>
    typeof outcome === "string" ? [{ position, reason: outcome }] : [],
  );
  return { state, effects, voids };
}

function effectOfFact(
  state: RegistryState,
  { header, batchKey }: VerifiedBatch,
  { fact, address }: { readonly fact: RecordFact; readonly address: FactAddress },
): Change | ReasonCode {
  if (fact.kind === "void") return fact.reason;
  const { index } = address;
  const { gateway, epoch, seq, seenSize, sealedAt } = header;
  const atS = Number(sealedAt / 1000n);
  const carrier = { gateway, batchKey, epoch, seq };
  const ground: Ground = { state, index, seenSize, sealedAtMs: Number(sealedAt), atS, carrier };
  // The carrier of batch 0 is admitted by a later position of it.
  const fault = index === 0n ? undefined : carrierFault(carrier, ground);
  if (fault !== undefined) return fault;
  if (fact.kind === "equivocation") return reportEquivocation(state, fact.equivocation, address);
  const { said, recordHash, checkpoint } = fact;
  const record = { address, recordHash, ...(checkpoint === undefined ? {} : { checkpoint }) };
  return effectOf(said, record, ground);
}

/**
 * Batch 0 founds the network by its first record and admits a sequencer that can go on, or there is none.
 * A later epoch is opened by its first record, or the batch does not follow its chain.
 */
function firstFaultOf(
  before: RegistryState,
  { state, voids }: Meaning,
  batch: VerifiedBatch,
): ReasonCode | undefined {
  const { gateway, epoch } = batch.header;
  const [voided] = voids;
  const isFounding = before.size === 0n;
  const opensEpoch = epoch > (before.chains.get(gateway)?.epoch ?? 0n);
  if ((isFounding || opensEpoch) && voided?.position === 0) return voided.reason;
  return isFounding ? keyFault(state, batch) : undefined;
}
