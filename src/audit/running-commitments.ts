/**
 * What two sides commit to while an exchange goes on, each after so many frames. The commitments run on
 * frame by frame, so that they say the same only at equal numbers, whatever records these stand in.
 */
import { equalBytes } from "../base/bytes.ts";
import { Fifo } from "../ledger/journal/fifo.ts";
import type { Place } from "./findings.ts";

export interface RunningCommitment {
  /** Never decreasing on one side: what does is passed over. */
  readonly frames: bigint;
  readonly commitment: Uint8Array;
  readonly place: Place;
}

interface Side {
  newest: RunningCommitment | undefined;
  /** What the other side may still meet, in order. */
  waiting: Fifo<RunningCommitment> | undefined;
}

/** Holds only what the other side has not reached: the more the two are apart, the more. */
export class RunningCommitments {
  readonly #provider: Side = { newest: undefined, waiting: undefined };
  readonly #consumer: Side = { newest: undefined, waiting: undefined };

  /**
   * Where a contradiction stands: the consumer's record for one between the sides, the own for one within
   * a side.
   */
  provider(said: RunningCommitment): Place | undefined {
    return take(said, this.#provider, this.#consumer)?.place;
  }

  consumer(said: RunningCommitment): Place | undefined {
    return take(said, this.#consumer, this.#provider) === undefined ? undefined : said.place;
  }
}

/** What `said` contradicts; itself where its own side has said otherwise. */
function take(said: RunningCommitment, own: Side, other: Side): RunningCommitment | undefined {
  const { newest } = own;
  if (newest !== undefined && said.frames <= newest.frames) {
    return said.frames === newest.frames && differ(said, newest) ? said : undefined;
  }
  own.newest = said;
  let met = other.waiting?.peek();
  while (met !== undefined && met.frames < said.frames) {
    other.waiting?.shift();
    met = other.waiting?.peek();
  }
  // A side that is further on does not come back to this number.
  if (other.newest === undefined || other.newest.frames < said.frames) {
    own.waiting ??= new Fifo();
    own.waiting.push(said);
  }
  return met !== undefined && met.frames === said.frames && differ(said, met) ? met : undefined;
}

function differ(a: RunningCommitment, b: RunningCommitment): boolean {
  return !equalBytes(a.commitment, b.commitment);
}
