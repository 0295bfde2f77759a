/**
 * What a sequencer publishes and when: one size at a time is put before the witnesses of the cities,
 * always the newest, until every quorum has cosigned it. Pure; the driver signs, asks and stores.
 * DESIGN.md sections 3 (frozen note, heartbeat) and 7 (embedded engine).
 */
import {
  acceptOutside,
  askOutside,
  cityState,
  citiesOf,
  failing,
  fresh,
  initialOutside,
  satisfies,
  withCity,
} from "./sequencer-cities.ts";
import { acceptTold, goOnStarting, poll, quietInMs } from "./sequencer-start.ts";
import type {
  CityState,
  Instant,
  Round,
  SequencerConfig,
  SequencerEffect,
  SequencerEvent,
  SequencerState,
  SequencerStep,
} from "./sequencer-types.ts";

export type {
  Instant,
  SequencerConfig,
  SequencerEffect,
  SequencerEvent,
  SequencerState,
  SequencerStep,
  ShownHead,
} from "./sequencer-types.ts";

/** Between two sizes put before the witnesses. */
export const roundIntervalMs: number = 250;
/** After this the machine looks again in any case: the clock may have been moved. */
export const wakeMsMax: number = 1000;

/** Before the first event, which is `start`: what the store holds. Nothing is known of the witnesses but the final size. */
export function initialSequencer(
  config: SequencerConfig,
  stored: { readonly finalSize: bigint; readonly quorumTimeMs: number | undefined },
): SequencerState {
  const { finalSize, quorumTimeMs } = stored;
  return {
    config,
    phase: "idle",
    startedAtMs: 0,
    persistedSize: finalSize,
    finalSize,
    quorum:
      quorumTimeMs === undefined
        ? undefined
        : { nowMs: quorumTimeMs, monotonicMs: Number.NEGATIVE_INFINITY },
    round: undefined,
    roundAtMs: Number.NEGATIVE_INFINITY,
    cities: new Map(),
    outside: initialOutside(config.outside),
    stopped: undefined,
  };
}

export function stepSequencer(
  state: SequencerState,
  event: SequencerEvent,
  now: Instant,
): SequencerStep {
  if (state.stopped !== undefined) return { state, effects: [] };
  const effects: SequencerEffect[] = [];
  let next = accept(state, event, now, effects);
  if (next.stopped !== undefined || next.phase === "idle") return { state: next, effects };
  next = goOnStarting(next, now, effects);
  if (next.phase === "serving") {
    next = openRound(next, now, effects);
    next = askCities(next, now, effects);
    next = askOutside(next, now, effects);
  }
  effects.push({ kind: "wake", delayMs: wakeDelay(next, now) });
  return { state: next, effects };
}

function accept(
  state: SequencerState,
  event: SequencerEvent,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  switch (event.kind) {
    case "start":
      if (state.phase !== "idle") return state;
      return {
        ...state,
        phase: "asking",
        startedAtMs: now.monotonicMs,
        persistedSize: event.size > state.persistedSize ? event.size : state.persistedSize,
      };
    case "told":
      return acceptTold(state, event, now, effects);
    case "persisted":
      return event.size > state.persistedSize ? { ...state, persistedSize: event.size } : state;
    case "cosigned":
      return acceptCosignature(state, event, effects);
    case "conflict":
      return acceptConflict(state, event, now, effects);
    case "refused":
      return acceptRefusal(state, event.city, now, effects);
    case "failed":
      return withCity(state, event.city, failing(now));
    case "stored":
      return {
        ...state,
        finalSize: event.size > state.finalSize ? event.size : state.finalSize,
        quorum: { nowMs: event.timeMs, monotonicMs: now.monotonicMs },
      };
    case "outside cosigned":
    case "outside conflict":
    case "outside failed":
      return acceptOutside(state, event, now);
    case "tick":
      return state;
  }
}

function acceptCosignature(
  state: SequencerState,
  event: Extract<SequencerEvent, { kind: "cosigned" }>,
  effects: SequencerEffect[],
): SequencerState {
  const settled = withCity(state, event.city, (city) => ({
    ...city,
    ...fresh,
    lastSize: event.size > city.lastSize ? event.size : city.lastSize,
    asking: undefined,
    isRefusing: false,
  }));
  const round = settled.round;
  if (round === undefined || round.size !== event.size) return settled;
  const lines = new Map(round.lines).set(event.city, event.line);
  if (!satisfies(round.rules, (city) => lines.has(city))) {
    return { ...settled, round: { ...round, lines } };
  }
  effects.push({ kind: "quorum", size: round.size, lines: [...lines.values()] });
  return { ...settled, round: undefined };
}

function acceptConflict(
  state: SequencerState,
  event: Extract<SequencerEvent, { kind: "conflict" }>,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  const { city: name, witnessSize } = event;
  if (witnessSize <= state.persistedSize) {
    return withCity(state, name, (city) => ({
      ...failing(now)(city),
      lastSize: witnessSize,
      // The first conflict only tells the size; one after another is a fault of the witness.
      retryAtMs: city.failures === 0 ? now.monotonicMs : failing(now)(city).retryAtMs,
    }));
  }
  effects.push({ kind: "ahead", city: name, witnessSize });
  const next = withCity(state, name, (city) => ({ ...city, asking: undefined, isAhead: true }));
  // More cities than can lie hold more of this log than this process does: its disk was set back.
  if (countCities(next, ({ isAhead }) => isAhead) > faultsOf(next)) {
    effects.push({ kind: "stop", reason: "LEDGER_FORK" });
    return { ...next, round: undefined, stopped: "LEDGER_FORK" };
  }
  // One city that can show it is enough.
  return poll(next, name, effects);
}

function acceptRefusal(
  state: SequencerState,
  name: string,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  const next = withCity(state, name, (city) => ({ ...failing(now)(city), isRefusing: true }));
  if (countCities(next, ({ isRefusing }) => isRefusing) <= faultsOf(next)) return next;
  effects.push({ kind: "ended" });
  return { ...next, round: undefined, stopped: "TERM_ENDED" };
}

function countCities(
  state: SequencerState,
  is: (city: ReturnType<typeof cityState>) => boolean,
): number {
  return [...state.cities.values()].filter(is).length;
}

/** How many cities may lie, by the rule of what is persisted. */
function faultsOf({ config, persistedSize }: SequencerState): number {
  return config.rules({ from: persistedSize, to: persistedSize }).at(-1)?.faults ?? 0;
}

/** Whether something is to be cosigned that is not under way. */
function isWanted(state: SequencerState, now: Instant): boolean {
  const { round, persistedSize } = state;
  if (persistedSize === 0n) return false;
  if (round === undefined) return persistedSize > state.finalSize || heartbeatInMs(state, now) <= 0;
  // A round that no request can complete any more gives way to the newest size.
  return (
    round.size < persistedSize &&
    [...state.cities.values()].every((city) => city.asking !== round.size)
  );
}

function openRound(
  state: SequencerState,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  if (!isWanted(state, now) || now.monotonicMs < state.roundAtMs + roundIntervalMs) return state;
  const { persistedSize: size, finalSize: from, config } = state;
  effects.push({ kind: "sign", size });
  const round: Round = { size, rules: config.rules({ from, to: size }), lines: new Map() };
  return { ...state, round, roundAtMs: now.monotonicMs };
}

function askCities(
  state: SequencerState,
  now: Instant,
  effects: SequencerEffect[],
): SequencerState {
  const { round } = state;
  if (round === undefined) return state;
  let next = state;
  for (const name of citiesOf(round.rules)) {
    const city = cityState(state, name);
    if (now.monotonicMs < city.retryAtMs || city.isPolled) continue;
    if (city.isAhead) {
      next = poll(next, name, effects);
      continue;
    }
    const isFree = city.asking === undefined && city.lastSize <= round.size;
    if (!isFree || (round.lines.has(name) && !isAskedAgain(state, city, now))) continue;
    effects.push({ kind: "ask", city: name, size: round.size, oldSize: city.lastSize });
    next = withCity(next, name, (before) => ({
      ...before,
      asking: round.size,
      askedAtMs: now.monotonicMs,
    }));
  }
  return next;
}

/**
 * Whether a city that has cosigned a round which is still open is asked for the same again: it may have
 * promised a later term since, and of a term that has ended too few others may tell.
 */
function isAskedAgain({ config }: SequencerState, city: CityState, now: Instant): boolean {
  return now.monotonicMs >= city.askedAtMs + config.heartbeatMs;
}

/** Milliseconds until the newest quorum is as old as the heartbeat allows; by either clock. */
function heartbeatInMs(state: SequencerState, now: Instant): number {
  const { quorum, config } = state;
  if (quorum === undefined) return 0;
  const byClock = quorum.nowMs + config.heartbeatMs - now.nowMs;
  const sinceArrival = quorum.monotonicMs + config.heartbeatMs - now.monotonicMs;
  return Math.min(byClock, sinceArrival === Number.NEGATIVE_INFINITY ? byClock : sinceArrival);
}

function wakeDelay(state: SequencerState, now: Instant): number {
  const times = [...state.cities.values(), ...state.outside.values()].map(
    ({ retryAtMs }) => retryAtMs - now.monotonicMs,
  );
  times.push(state.roundAtMs + roundIntervalMs - now.monotonicMs);
  if (state.phase === "asking") times.push(quietInMs(state, now));
  return Math.ceil(Math.min(wakeMsMax, ...times.filter((delayMs) => delayMs > 0)));
}
