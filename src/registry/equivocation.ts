/** Contradictions that somebody signed: two leaves for one place of a chain, two trees of one size. */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type {
  CheckpointPair,
  EquivocationReported,
  HeaderPair,
} from "../gen/causeway/record/v1/record_pb.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { type Checkpoint, parseCheckpoint } from "../note/checkpoint.ts";
import { parseNote } from "../note/note.ts";
import { openCheckpoint } from "../note/verify.ts";
import { type OpenedLeaf, openLeaf, verifyLeaf } from "../record/leaf.ts";
import { endingBefore, withFrozen } from "./chain-stops.ts";
import { logKeyOf, termOfOrigin } from "./cosigning.ts";
import { batchKeyOf } from "./keys.ts";
import type { Change } from "./rule.ts";
import type { ChainPlace, FactAddress, RegistryState } from "./state.ts";

/** What a verified report proves. */
export type Equivocation =
  | {
      readonly of: "chain";
      readonly gateway: string;
      readonly epoch: bigint;
      /** Both leaves, each with the raw key that signed it. */
      readonly leaves: readonly (ChainPlace & { readonly key: Uint8Array })[];
    }
  | { readonly of: "log"; readonly origin: string };

/**
 * Two different headers for one place: of one process start its gateway said both, of two a restored copy
 * went on from an older state. Either freezes the chain.
 */
export function equivocationKind(first: Header, second: Header): "equivocation" | "rollback" {
  return equalBytes(first.boot, second.boot) ? "equivocation" : "rollback";
}

/**
 * Verifies a report against the keys that the registry knows.
 *
 * @throws CausewayError as `openLeaf`, `verifyLeaf` and `openCheckpoint`; `NETWORK_UNKNOWN`,
 * `GATEWAY_UNKNOWN`, `KEY_UNKNOWN` or `NOTE_SIGNER_UNKNOWN`; `EQUIVOCATION_UNPROVED` when both can be true.
 */
export function verifyEquivocation(
  state: RegistryState,
  { proof }: EquivocationReported,
  verifier: Verifier,
): Equivocation {
  if (proof.case === "headers") return verifyHeaders(state, proof.value, verifier);
  if (proof.case === "checkpoints") return verifyCheckpoints(state, proof.value, verifier);
  throw unproved("a report without a proof");
}

function verifyHeaders(state: RegistryState, pair: HeaderPair, verifier: Verifier): Equivocation {
  const leaves = [openLeaf(pair.firstLeaf), openLeaf(pair.secondLeaf)] as const;
  const [{ header: first }, { header: second }] = leaves;
  const isOnePlace =
    first.gateway === second.gateway && first.epoch === second.epoch && first.seq === second.seq;
  if (!isOnePlace || equalBytes(leaves[0].headerBytes, leaves[1].headerBytes)) {
    throw unproved("not two headers of one gateway for one place");
  }
  return {
    of: "chain",
    gateway: first.gateway,
    epoch: first.epoch,
    leaves: leaves.map((leaf) => ({
      epoch: leaf.header.epoch,
      seq: leaf.header.seq,
      leafHash: leaf.leafHash,
      key: verifiedKey(state, leaf, verifier),
    })),
  };
}

function verifiedKey(state: RegistryState, leaf: OpenedLeaf, verifier: Verifier): Uint8Array {
  const { network, gateway, key } = leaf.header;
  if (!equalBytes(network, state.networkId)) {
    throw new CausewayError("NETWORK_UNKNOWN", "a leaf of another network");
  }
  if (!state.gateways.has(gateway)) {
    throw new CausewayError("GATEWAY_UNKNOWN", "a leaf of an unknown gateway");
  }
  const publicKey = batchKeyOf(state, gateway, key);
  if (publicKey === undefined) {
    throw new CausewayError("KEY_UNKNOWN", "a leaf under an unknown key");
  }
  verifyLeaf({ leaf, publicKey, verifier });
  return publicKey;
}

function verifyCheckpoints(
  state: RegistryState,
  pair: CheckpointPair,
  verifier: Verifier,
): Equivocation {
  const first = openOwn(state, pair.firstNote, verifier);
  const second = openOwn(state, pair.secondNote, verifier);
  const isContradiction =
    first.origin === second.origin &&
    first.size === second.size &&
    !equalBytes(first.root, second.root);
  if (!isContradiction) throw unproved("not two roots of one origin for one size");
  return { of: "log", origin: first.origin };
}

function openOwn(state: RegistryState, note: Uint8Array, verifier: Verifier): Checkpoint {
  const term = termOfOrigin(state, parseCheckpoint(parseNote(note).text).origin);
  if (term === undefined) {
    throw new CausewayError("NOTE_SIGNER_UNKNOWN", "the checkpoint is of no term that is known");
  }
  return openCheckpoint({
    note,
    logKey: logKeyOf(state, term),
    verify: (key, message, signature) => verifier.verify(key, message, signature),
  }).checkpoint;
}

function unproved(why: string): CausewayError {
  return new CausewayError("EQUIVOCATION_UNPROVED", why);
}

/** What a verified report does. Of two trees it says who is to be asked; trust rests on the cosignatures. */
export function reportEquivocation(
  state: RegistryState,
  equivocation: Equivocation,
  address: FactAddress,
): Change | ReasonCode {
  if (equivocation.of === "log") {
    return { state, results: [{ kind: ResultKind.LOG_EQUIVOCATED, subject: equivocation.origin }] };
  }
  const { gateway, epoch, leaves } = equivocation;
  const tip = state.chains.get(gateway);
  const stop = state.chainStops.get(gateway);
  // Under a key whose chain has ended nothing is said for the gateway any more.
  if (leaves.some((leaf) => endingBefore(stop, leaf, leaf.key) !== undefined)) return "CHAIN_ENDED";
  if (tip === undefined || epoch > tip.epoch) return "CHAIN_GAP";
  if (epoch < tip.epoch || stop?.frozen !== undefined) return "ALREADY_TAKEN";
  return {
    state: withFrozen(state, gateway, address),
    results: [{ kind: ResultKind.CHAIN_FROZEN, subject: gateway }],
  };
}
