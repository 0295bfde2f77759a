/** What a sequencer remembers of the witnesses: those of the cities, and those of others. */
import type { CosigningRule } from "../../registry/cosigning.ts";
import type {
  CityState,
  Instant,
  OutsideState,
  Patience,
  SequencerEffect,
  SequencerEvent,
  SequencerState,
} from "./sequencer-types.ts";

const retryMsMin = 250;
const retryMsMax = 5000;

export const fresh: Patience = { failures: 0, retryAtMs: Number.NEGATIVE_INFINITY };

/** A city of which nothing is known but what is final. */
export function cityState(state: SequencerState, name: string): CityState {
  return (
    state.cities.get(name) ?? {
      ...fresh,
      lastSize: state.finalSize,
      asking: undefined,
      askedAtMs: Number.NEGATIVE_INFINITY,
      isPolled: false,
      hasTold: false,
      isAhead: false,
      isRefusing: false,
    }
  );
}

export function withCity(
  state: SequencerState,
  name: string,
  change: (city: CityState) => CityState,
): SequencerState {
  const cities = new Map(state.cities).set(name, change(cityState(state, name)));
  return { ...state, cities };
}

/** Cities that any of the rules counts, ascending. */
export function citiesOf(rules: readonly CosigningRule[]): readonly string[] {
  return [...new Set(rules.flatMap(({ cities }) => cities))].sort();
}

/** Whether enough of each rule's cities are among these. */
export function satisfies(
  rules: readonly CosigningRule[],
  isAmong: (city: string) => boolean,
): boolean {
  return rules.every(({ cities, quorum }) => cities.filter(isAmong).length >= quorum);
}

/** How long to wait after one more failure. */
export function patienceAfter({ failures }: Patience, now: Instant): Patience {
  const delayMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(failures, 10));
  return { failures: failures + 1, retryAtMs: now.monotonicMs + delayMs };
}

export function failing(now: Instant): (city: CityState) => CityState {
  return (city) => ({
    ...city,
    ...patienceAfter(city, now),
    asking: undefined,
    isPolled: false,
  });
}

/** At the start; each is asked once a size is final. */
export function initialOutside(names: readonly string[]): ReadonlyMap<string, OutsideState> {
  const idle = { ...fresh, lastSize: 0n, cosignedSize: 0n, isAsked: false };
  return new Map(names.map((name) => [name, idle]));
}

type OutsideEvent = Extract<SequencerEvent, { readonly witness: string }>;

export function acceptOutside(
  state: SequencerState,
  event: OutsideEvent,
  now: Instant,
): SequencerState {
  const before = state.outside.get(event.witness);
  if (before === undefined) return state;
  const outside = new Map(state.outside).set(event.witness, afterOutside(before, event, now));
  return { ...state, outside };
}

function afterOutside(before: OutsideState, event: OutsideEvent, now: Instant): OutsideState {
  switch (event.kind) {
    case "outside cosigned":
      return {
        ...fresh,
        lastSize: event.size,
        cosignedSize: event.size,
        isAsked: false,
      };
    case "outside conflict": {
      const { witnessSize: lastSize } = event;
      // The first conflict only tells the size; one after another is a fault of the witness.
      const patience = patienceAfter(before, now);
      const retryAtMs = before.failures === 0 ? now.monotonicMs : patience.retryAtMs;
      return { ...before, ...patience, retryAtMs, lastSize, isAsked: false };
    }
    case "outside failed":
      return { ...before, ...patienceAfter(before, now), isAsked: false };
  }
}

/** Asks the witnesses of others for what is final. One that says it is further has nothing to give. */
export function askOutside(
  state: SequencerState,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  const { finalSize: size } = state;
  const outside = new Map(state.outside);
  for (const [witness, one] of state.outside) {
    const isWanted = one.cosignedSize < size && one.lastSize <= size;
    if (!isWanted || one.isAsked || now.monotonicMs < one.retryAtMs) continue;
    effects.push({ kind: "ask outside", witness, size, oldSize: one.lastSize });
    outside.set(witness, { ...one, isAsked: true });
  }
  return { ...state, outside };
}
