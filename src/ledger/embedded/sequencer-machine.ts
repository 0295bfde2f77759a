/**
 * What a sequencer publishes and when: one size at a time is put before the witnesses of the cities,
 * always the newest, until a quorum has cosigned it. Pure; the driver signs, asks and stores.
 * DESIGN.md sections 3 (frozen note, heartbeat) and 7 (embedded engine).
 */
import type { ReasonCode } from "../../base/reasons.ts";
import type { NoteSignature } from "../../note/note.ts";

export interface SequencerConfig {
  readonly cities: readonly string[];
  /** How many cities must cosign. */
  readonly quorum: number;
  /** How many cities may lie. */
  readonly faults: number;
  readonly heartbeatMs: number;
}

/** Between two sizes put before the witnesses. */
export const roundIntervalMs: number = 250;
/** After this the machine looks again in any case: the clock may have been moved. */
export const wakeMsMax: number = 1000;
const retryMsMin = 250;
const retryMsMax = 5000;

export interface Instant {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly monotonicMs: number;
}

/** What one city's witness is known to have done. */
interface CityState {
  /** Size that it cosigned last, as far as this process knows. */
  readonly lastSize: bigint;
  /** Size that it is being asked for; one request at a time. */
  readonly asking: bigint | undefined;
  readonly failures: number;
  /** Monotonic; it is not asked before. */
  readonly retryAtMs: number;
  /** It says that it cosigned a size that this sequencer does not hold. */
  readonly ahead: boolean;
}

interface Round {
  readonly size: bigint;
  /** Cosignature lines by city. */
  readonly lines: ReadonlyMap<string, NoteSignature>;
}

export interface SequencerState {
  readonly config: SequencerConfig;
  readonly persistedSize: bigint;
  readonly finalSize: bigint;
  /** Time of the newest quorum: by the cosignatures, and when it arrived here. */
  readonly quorum: Instant | undefined;
  readonly round: Round | undefined;
  readonly roundAtMs: number;
  readonly cities: ReadonlyMap<string, CityState>;
  readonly stopped: ReasonCode | undefined;
}

export type SequencerEvent =
  | { readonly kind: "persisted"; readonly size: bigint }
  | {
      readonly kind: "cosigned";
      readonly city: string;
      readonly size: bigint;
      readonly line: NoteSignature;
    }
  /** The witness's latest cosigned size is another (409). */
  | { readonly kind: "conflict"; readonly city: string; readonly witnessSize: bigint }
  | { readonly kind: "failed"; readonly city: string }
  /** The note of a quorum was stored; `timeMs` is its time. */
  | { readonly kind: "stored"; readonly size: bigint; readonly timeMs: number }
  | { readonly kind: "tick" };

export type SequencerEffect =
  /** Sign this size with the log key and show it to the followers. */
  | { readonly kind: "sign"; readonly size: bigint }
  | { readonly kind: "ask"; readonly city: string; readonly size: bigint; readonly oldSize: bigint }
  /** A quorum has cosigned: freeze the note if the size is new, else it is a heartbeat. */
  | { readonly kind: "quorum"; readonly size: bigint; readonly lines: readonly NoteSignature[] }
  | { readonly kind: "ahead"; readonly city: string; readonly witnessSize: bigint }
  | { readonly kind: "stop"; readonly reason: ReasonCode }
  /** Send a tick after this long, instead of an earlier wake. */
  | { readonly kind: "wake"; readonly delayMs: number };

export interface SequencerStep {
  readonly state: SequencerState;
  readonly effects: readonly SequencerEffect[];
}

/** Before the first event: what the store holds. Nothing is known of the witnesses but the final size. */
export function initialSequencer(
  config: SequencerConfig,
  stored: { readonly finalSize: bigint; readonly quorumTimeMs: number | undefined },
): SequencerState {
  const { finalSize, quorumTimeMs } = stored;
  const idle: CityState = {
    lastSize: finalSize,
    asking: undefined,
    failures: 0,
    retryAtMs: Number.NEGATIVE_INFINITY,
    ahead: false,
  };
  return {
    config,
    persistedSize: finalSize,
    finalSize,
    quorum:
      quorumTimeMs === undefined
        ? undefined
        : { nowMs: quorumTimeMs, monotonicMs: Number.NEGATIVE_INFINITY },
    round: undefined,
    roundAtMs: Number.NEGATIVE_INFINITY,
    cities: new Map(config.cities.map((city) => [city, idle])),
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
  if (next.stopped !== undefined) return { state: next, effects };
  next = openRound(next, now, effects);
  next = askCities(next, now, effects);
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
    case "persisted":
      return event.size > state.persistedSize ? { ...state, persistedSize: event.size } : state;
    case "cosigned":
      return acceptCosignature(state, event, effects);
    case "conflict":
      return acceptConflict(state, event, now, effects);
    case "failed":
      return withCity(state, event.city, failing(now));
    case "stored":
      return {
        ...state,
        finalSize: event.size > state.finalSize ? event.size : state.finalSize,
        quorum: { nowMs: event.timeMs, monotonicMs: now.monotonicMs },
      };
    case "tick":
      return state;
  }
}

function acceptCosignature(
  state: SequencerState,
  event: { readonly city: string; readonly size: bigint; readonly line: NoteSignature },
  effects: SequencerEffect[],
): SequencerState {
  const settled = withCity(state, event.city, (city) => ({
    ...city,
    lastSize: event.size > city.lastSize ? event.size : city.lastSize,
    asking: undefined,
    failures: 0,
    retryAtMs: Number.NEGATIVE_INFINITY,
  }));
  const round = settled.round;
  if (round === undefined || round.size !== event.size) return settled;
  const lines = new Map(round.lines).set(event.city, event.line);
  if (lines.size < settled.config.quorum) return { ...settled, round: { ...round, lines } };
  effects.push({ kind: "quorum", size: round.size, lines: [...lines.values()] });
  return { ...settled, round: undefined };
}

function acceptConflict(
  state: SequencerState,
  event: { readonly city: string; readonly witnessSize: bigint },
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
  const next = withCity(state, name, (city) => ({ ...city, asking: undefined, ahead: true }));
  const ahead = [...next.cities.values()].filter((city) => city.ahead).length;
  // More cities than can lie hold more of this log than this process does: its disk was set back.
  if (ahead <= next.config.faults) return next;
  effects.push({ kind: "stop", reason: "LEDGER_FORK" });
  return { ...next, round: undefined, stopped: "LEDGER_FORK" };
}

function failing(now: Instant): (city: CityState) => CityState {
  return (city) => ({
    ...city,
    asking: undefined,
    failures: city.failures + 1,
    retryAtMs:
      now.monotonicMs + Math.min(retryMsMax, retryMsMin * 2 ** Math.min(city.failures, 10)),
  });
}

function withCity(
  state: SequencerState,
  name: string,
  change: (city: CityState) => CityState,
): SequencerState {
  const city = state.cities.get(name);
  if (city === undefined) return state;
  return { ...state, cities: new Map(state.cities).set(name, change(city)) };
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
  effects.push({ kind: "sign", size: state.persistedSize });
  const round: Round = { size: state.persistedSize, lines: new Map() };
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
  for (const [name, city] of state.cities) {
    const isFree = city.asking === undefined && !city.ahead && city.lastSize <= round.size;
    if (!isFree || round.lines.has(name) || now.monotonicMs < city.retryAtMs) continue;
    effects.push({ kind: "ask", city: name, size: round.size, oldSize: city.lastSize });
    next = withCity(next, name, (before) => ({ ...before, asking: round.size }));
  }
  return next;
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
  let delayMs = wakeMsMax;
  const roundIn = state.roundAtMs + roundIntervalMs - now.monotonicMs;
  if (roundIn > 0) delayMs = Math.min(delayMs, roundIn);
  for (const city of state.cities.values()) {
    const retryIn = city.retryAtMs - now.monotonicMs;
    if (retryIn > 0) delayMs = Math.min(delayMs, retryIn);
  }
  return Math.ceil(delayMs);
}
