/**
 * What two sides commit to while an exchange goes on, each after so many frames. The commitments run on
 * frame by frame, so that they say the same only at equal numbers, whatever records these stand in.
 */
import { equalBytes } from "../base/bytes.ts";
import { Fifo } from "../base/fifo.ts";
import type { NamedReceipt } from "./attempt.ts";
import type { Place } from "./findings.ts";

export interface RunningCommitment {
  /** Never decreasing on one side: what does is passed over. */
  readonly frames: bigint;
  readonly commitment: Uint8Array;
  readonly place: Place;
  /** The receipt that it stands in, or that it is acknowledged with. */
  readonly receipt: NamedReceipt;
}

/** Two commitments that are not equal. */
export interface Contradiction {
  /** Where it stands: the consumer's record for one between the sides, the newer for one within a side. */
  readonly place: Place;
  /** Both of one side, or one of each. */
  readonly within: "provider" | "consumer" | undefined;
  /** Of two sides the receipt that the provider says it in, and the one that the consumer names. */
  readonly receipt: NamedReceipt;
  readonly named: NamedReceipt;
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

  provider(said: RunningCommitment): Contradiction | undefined {
    const met = take(said, this.#provider, this.#consumer);
    if (met === undefined) return undefined;
    const within = met.isOwn ? "provider" : undefined;
    const { place, receipt: named } = met.isOwn ? said : met.other;
    return { place, within, receipt: said.receipt, named };
  }

  consumer(said: RunningCommitment): Contradiction | undefined {
    const met = take(said, this.#consumer, this.#provider);
    if (met === undefined) return undefined;
    const { place, receipt: named } = said;
    const within = met.isOwn ? "consumer" : undefined;
    return { place, within, receipt: met.other.receipt, named };
  }
}

interface Met {
  readonly other: RunningCommitment;
  readonly isOwn: boolean;
}

/** What `said` contradicts, of its own side or of the other. */
function take(said: RunningCommitment, own: Side, other: Side): Met | undefined {
  const { newest } = own;
  if (newest !== undefined && said.frames <= newest.frames) {
    const differs = said.frames === newest.frames && differ(said, newest);
    return differs ? { other: newest, isOwn: true } : undefined;
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
  if (met === undefined || met.frames !== said.frames || !differ(said, met)) return undefined;
  return { other: met, isOwn: false };
}

function differ(a: RunningCommitment, b: RunningCommitment): boolean {
  return !equalBytes(a.commitment, b.commitment);
}
