/**
 * A sequencer's start: it is quiet for a while, and serves once a quorum has told it then the highest
 * checkpoint that each cosigned, and it holds all of them. Otherwise a restored disk, or a second process of the
 * same key, would sign a second history. Pure. DESIGN.md section 7.
 */
import { equalBytes } from "../../base/bytes.ts";
import type { CosigningRule } from "../../registry/cosigning.ts";
import {
  cityState,
  citiesOf,
  fresh,
  patienceAfter,
  satisfies,
  withCity,
} from "./sequencer-cities.ts";
import type {
  Instant,
  SequencerEffect,
  SequencerEvent,
  SequencerState,
} from "./sequencer-types.ts";

/** Rules that a quorum at the start has to satisfy: those of everything that is held. */
function startRules({
  config,
  finalSize,
  persistedSize,
}: SequencerState): readonly CosigningRule[] {
  return config.rules({ from: finalSize, to: persistedSize });
}

export function acceptTold(
  state: SequencerState,
  { city, head }: Extract<SequencerEvent, { kind: "told" }>,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  if (head !== undefined && !isHeld(state, head)) {
    effects.push({ kind: "fork", shown: head.note }, { kind: "stop", reason: "LEDGER_FORK" });
    return { ...state, round: undefined, stopped: "LEDGER_FORK" };
  }
  return withCity(state, city, (before) => ({
    ...before,
    // It said that it was ahead, and shows nothing of it.
    ...(before.isAhead ? patienceAfter(before, now) : fresh),
    lastSize: head?.size ?? 0n,
    isPolled: false,
    hasTold: true,
    isAhead: false,
  }));
}

function isHeld(
  { config, persistedSize }: SequencerState,
  { size, root }: { readonly size: bigint; readonly root: Uint8Array },
): boolean {
  const own = size > persistedSize ? undefined : config.rootAt(size);
  return own !== undefined && equalBytes(own, root);
}

/**
 * Asks the cities once it was quiet for long enough, and goes over to serving when enough of them have told.
 * What an earlier process of the key still sends reaches them before: nothing is cosigned for it afterwards.
 */
export function goOnStarting(
  state: SequencerState,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  if (state.phase !== "asking" || quietInMs(state, now) > 0) return state;
  const rules = startRules(state);
  const hasTold = (city: string): boolean => cityState(state, city).hasTold;
  if (satisfies(rules, hasTold)) {
    effects.push({ kind: "serve" });
    return { ...state, phase: "serving" };
  }
  let next = state;
  for (const name of citiesOf(rules)) {
    const city = cityState(state, name);
    if (city.hasTold || city.isPolled || now.monotonicMs < city.retryAtMs) continue;
    next = poll(next, name, effects);
  }
  return next;
}

/** Asks one city for the highest checkpoint that it cosigned. */
export function poll(
  state: SequencerState,
  city: string,
  effects: SequencerEffect[],
): SequencerState {
  effects.push({ kind: "poll", city });
  return withCity(state, city, (before) => ({ ...before, isPolled: true }));
}

/** Milliseconds until it was quiet for long enough. */
export function quietInMs({ config, startedAtMs }: SequencerState, now: Instant): number {
  return startedAtMs + config.quietMs - now.monotonicMs;
}
