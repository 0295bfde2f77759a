/** Structure: whether a batch gets an index. The standing of a known key is never asked here. */
import { equalBytes } from "../base/bytes.ts";
import { assertInvariant } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import { endingBefore, isSamePlace, placeOf } from "./chain-stops.ts";
import { batchKeyOf } from "./keys.ts";
import type { ChainTip, RegistryState } from "./state.ts";
import type { VerifiedBatch } from "./verify-batch.ts";

/** Root of the first `size` leaves; known for every size up to the index that is being applied. */
export type RootAt = (size: bigint) => Uint8Array | undefined;

/** Why a batch whose bytes are in order cannot stand at `index`, or `undefined` when it can. */
export function structureFault(
  state: RegistryState,
  batch: VerifiedBatch,
  index: bigint,
  rootAt: RootAt,
): ReasonCode | undefined {
  const { header } = batch;
  if (!equalBytes(header.network, state.networkId)) return "NETWORK_UNKNOWN";
  return (
    // The key of batch 0 is found inside it: `apply` looks at it once its statements are applied.
    (index === 0n ? undefined : keyFault(state, batch)) ??
    chainFault(state, batch) ??
    seenFault(header, index, rootAt)
  );
}

/** Whether the key under which the leaf verified is, or was, a batch key of its gateway. */
export function keyFault(
  state: RegistryState,
  { header, batchKey }: VerifiedBatch,
): ReasonCode | undefined {
  if (!state.gateways.has(header.gateway)) return "GATEWAY_UNKNOWN";
  const known = batchKeyOf(state, header.gateway, header.key);
  return known !== undefined && equalBytes(known, batchKey) ? undefined : "KEY_UNKNOWN";
}

const noLeaf = new Uint8Array(32);

/**
 * Every place at or before the tip is taken. Whoever applies looks a batch up by its leaf hash first,
 * so what comes here for such a place is another batch, except for the tip itself: `BATCH_KNOWN`.
 */
function chainFault(state: RegistryState, batch: VerifiedBatch): ReasonCode | undefined {
  const { header, leafHash, batchKey } = batch;
  const { gateway, epoch, seq, prev, seenSize, sealedAt } = header;
  const tip = state.chains.get(gateway);
  const stop = state.chainStops.get(gateway);
  if (tip !== undefined) {
    if (equalBytes(leafHash, tip.leafHash)) return "BATCH_KNOWN";
    if (epoch < tip.epoch || (epoch === tip.epoch && seq <= tip.seq)) return "CHAIN_FORK";
  }
  if (endingBefore(stop, { epoch, seq, leafHash }, batchKey) !== undefined) return "CHAIN_ENDED";
  if (tip === undefined) {
    return epoch === 0n && seq === 0n && equalBytes(prev, noLeaf) ? undefined : "CHAIN_GAP";
  }
  if (epoch > tip.epoch) {
    const fault = epochFault(batch, tip);
    if (fault !== undefined) return fault;
  } else if (stop?.frozen !== undefined) {
    return "CHAIN_FROZEN";
  } else if (seq > tip.seq + 1n) {
    return "CHAIN_GAP";
  }
  if (!equalBytes(prev, tip.leafHash)) return "CHAIN_FORK";
  return seenSize < tip.seenSize || sealedAt < tip.sealedAt ? "SEEN_DECREASING" : undefined;
}

/** A later epoch begins with the statement that opens it after the chain's tip; whether it may is `apply`'s to say. */
function epochFault({ header, facts }: VerifiedBatch, tip: ChainTip): ReasonCode | undefined {
  const [first] = facts;
  if (header.seq !== 0n || first === undefined || first.kind === "equivocation") return "CHAIN_GAP";
  if (first.kind === "void") return first.name === "epoch" ? first.reason : "CHAIN_GAP";
  const { name, claims, body } = first.said.statement;
  const opens =
    name === "epoch" &&
    claims.sub === header.gateway &&
    BigInt(body.epoch) === header.epoch &&
    isSamePlace(placeOf(body.last), tip);
  return opens ? undefined : "CHAIN_GAP";
}

function seenFault(header: Header, index: bigint, rootAt: RootAt): ReasonCode | undefined {
  if (header.seenSize > index) return "SEEN_INVALID";
  const root = rootAt(header.seenSize);
  assertInvariant(root !== undefined, "the root of an included size is not at hand");
  return equalBytes(root, header.seenRoot) ? undefined : "SEEN_INVALID";
}

/** The chain of a gateway after its batch at `index`. */
export function tipOf({ header, leafHash }: VerifiedBatch, index: bigint): ChainTip {
  const { epoch, seq, boot, seenSize, sealedAt } = header;
  // The header's bytes are views of a buffer that somebody else owns.
  return { epoch, seq, leafHash, index, boot: boot.slice(), seenSize, sealedAt };
}
