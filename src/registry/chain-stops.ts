/** Chains that go no further: frozen by a proof against their gateway, or ended under keys that drain. */
import { equalBytes } from "../base/bytes.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { ChainEnd } from "../credential/statements.ts";
import { rawDigest } from "./keys.ts";
import type { ChainEnding, ChainPlace, ChainStop, FactAddress, RegistryState } from "./state.ts";

const none: ChainStop = { endings: [] };

/** The place that a statement names. */
export function placeOf({ epoch, seq, leaf }: ChainEnd): ChainPlace {
  return { epoch: BigInt(epoch), seq: BigInt(seq), leafHash: rawDigest(leaf) };
}

export function isSamePlace(a: ChainPlace, b: ChainPlace): boolean {
  return a.epoch === b.epoch && a.seq === b.seq && equalBytes(a.leafHash, b.leafHash);
}

/** What ended the chain under `key` before a leaf that would stand at `place`. */
export function endingBefore(
  stop: ChainStop | undefined,
  place: ChainPlace,
  key: Uint8Array,
): ChainEnding | undefined {
  return stop?.endings.find(
    ({ last, keys }) =>
      keys.some((ended) => equalBytes(ended, key)) &&
      !isBefore(place, last) &&
      !isSamePlace(place, last),
  );
}

/** Whether a chain has ended under this key. */
export function isEndedKey(stop: ChainStop | undefined, key: Uint8Array): boolean {
  return stop?.endings.some(({ keys }) => keys.some((ended) => equalBytes(ended, key))) === true;
}

export function withFrozen(
  state: RegistryState,
  gateway: string,
  frozen: FactAddress,
): RegistryState {
  const stop = state.chainStops.get(gateway) ?? none;
  return { ...state, chainStops: state.chainStops.with(gateway, { ...stop, frozen }) };
}

/** A new epoch is open: what froze the one before counts no more. */
export function withoutFrozen(state: RegistryState, gateway: string): RegistryState {
  const stop = state.chainStops.get(gateway);
  if (stop?.frozen === undefined) return state;
  const { frozen: _frozen, ...rest } = stop;
  const chainStops =
    rest.endings.length === 0
      ? state.chainStops.without(gateway)
      : state.chainStops.with(gateway, rest);
  return { ...state, chainStops };
}

/**
 * The end of a gateway's chain under `keys`: what is indexed stays, what `last` names may still come.
 * `CHAIN_FORK` when another leaf stands at that place, `ALREADY_TAKEN` when no key is left to end.
 */
export function endChain(
  state: RegistryState,
  gateway: string,
  { last, keys, address }: ChainEnding,
): RegistryState | ReasonCode {
  const tip = state.chains.get(gateway);
  const isOther = tip?.epoch === last.epoch && tip.seq === last.seq && !isSamePlace(tip, last);
  if (isOther) return "CHAIN_FORK";
  const stop = state.chainStops.get(gateway) ?? none;
  const open = keys.filter((key) => !isEndedKey(stop, key));
  if (open.length === 0) return "ALREADY_TAKEN";
  const endings = [...stop.endings, { address, last, keys: open }];
  return { ...state, chainStops: state.chainStops.with(gateway, { ...stop, endings }) };
}

function isBefore(a: ChainPlace, b: ChainPlace): boolean {
  return a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq);
}
