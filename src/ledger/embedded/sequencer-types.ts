/** What goes into a sequencer's machine and what comes out of it. */
import type { ReasonCode } from "../../base/reasons.ts";
import type { NoteSignature } from "../../note/note.ts";
import type { CosigningRule } from "../../registry/cosigning.ts";

export interface SequencerConfig {
  readonly heartbeatMs: number;
  /** How long nothing is served after the start: what an earlier process of the key still sends arrives before. */
  readonly quietMs: number;
  /**
   * Every rule that the size `to` has to satisfy when `from` is the final size before it; `from` equals
   * `to` for a heartbeat. Of the own registry, which has at least `to` leaves.
   */
  rules(sizes: { readonly from: bigint; readonly to: bigint }): readonly CosigningRule[];
  /** Root of the first `size` persisted leaves, `undefined` when there are fewer. */
  rootAt(size: bigint): Uint8Array | undefined;
  /** Witnesses of others, which never count. */
  readonly outside: readonly string[];
}

export interface Instant {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly monotonicMs: number;
}

/** When a witness may be asked again. */
export interface Patience {
  readonly failures: number;
  /** Monotonic; it is not asked before. */
  readonly retryAtMs: number;
}

/** What one city's witness is known to have done. */
export interface CityState extends Patience {
  /** Size that it cosigned last, as far as this process knows. */
  readonly lastSize: bigint;
  /** Size that it is being asked for; one request at a time. */
  readonly asking: bigint | undefined;
  /** Monotonic; when it was asked for a cosignature last. */
  readonly askedAtMs: number;
  /** It is being asked for the highest checkpoint of this log that it cosigned. */
  readonly isPolled: boolean;
  /** It has told that since this process started. */
  readonly hasTold: boolean;
  /** It says that it cosigned a size that this sequencer does not hold, and shows nothing. */
  readonly isAhead: boolean;
  /** It says that the term has ended. */
  readonly isRefusing: boolean;
}

/** What one witness of others is known to have done. */
export interface OutsideState extends Patience {
  readonly lastSize: bigint;
  /** Newest size of which its line came to this process. */
  readonly cosignedSize: bigint;
  readonly isAsked: boolean;
}

export interface Round {
  readonly size: bigint;
  /** Each of them has to be satisfied. */
  readonly rules: readonly CosigningRule[];
  /** Cosignature lines by city. */
  readonly lines: ReadonlyMap<string, NoteSignature>;
}

export interface SequencerState {
  readonly config: SequencerConfig;
  /** Nothing is signed before it serves. */
  readonly phase: "idle" | "asking" | "serving";
  /** Monotonic. */
  readonly startedAtMs: number;
  readonly persistedSize: bigint;
  readonly finalSize: bigint;
  /** Time of the newest quorum: by the cosignatures, and when it arrived here. */
  readonly quorum: Instant | undefined;
  readonly round: Round | undefined;
  readonly roundAtMs: number;
  readonly cities: ReadonlyMap<string, CityState>;
  readonly outside: ReadonlyMap<string, OutsideState>;
  readonly stopped: ReasonCode | undefined;
}

/** A head of this log, signed with its key. */
export interface ShownHead {
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly note: Uint8Array;
}

export type SequencerEvent =
  /** This process begins to sequence; `size` leaves are persisted. */
  | { readonly kind: "start"; readonly size: bigint }
  /** Answer to `poll`: the highest head that the witness cosigned, `undefined` when it never did. Its log signature verified. */
  | { readonly kind: "told"; readonly city: string; readonly head: ShownHead | undefined }
  | { readonly kind: "persisted"; readonly size: bigint }
  | {
      readonly kind: "cosigned";
      readonly city: string;
      readonly size: bigint;
      readonly line: NoteSignature;
    }
  /** The witness's latest cosigned size is another (409). */
  | { readonly kind: "conflict"; readonly city: string; readonly witnessSize: bigint }
  /** The witness takes nothing from this log any more (403): its city has promised a later term. */
  | { readonly kind: "refused"; readonly city: string }
  /** A witness did not answer, or with something else: to `ask` or to `poll`. */
  | { readonly kind: "failed"; readonly city: string }
  /** The note of a quorum was stored; `timeMs` is its time. */
  | { readonly kind: "stored"; readonly size: bigint; readonly timeMs: number }
  /** Answers to `ask outside`; the driver keeps the line. */
  | { readonly kind: "outside cosigned"; readonly witness: string; readonly size: bigint }
  | { readonly kind: "outside conflict"; readonly witness: string; readonly witnessSize: bigint }
  | { readonly kind: "outside failed"; readonly witness: string }
  | { readonly kind: "tick" };

export type SequencerEffect =
  /** Ask a city's witness for the highest checkpoint under this log's origin that it cosigned. */
  | { readonly kind: "poll"; readonly city: string }
  /** A quorum has told, it is quiet, and nothing is missing: take batches from now on. */
  | { readonly kind: "serve" }
  /** Sign this size with the log key and show it to the followers. */
  | { readonly kind: "sign"; readonly size: bigint }
  | { readonly kind: "ask"; readonly city: string; readonly size: bigint; readonly oldSize: bigint }
  /** Every quorum has cosigned: freeze the note if the size is new, else it is a heartbeat. */
  | { readonly kind: "quorum"; readonly size: bigint; readonly lines: readonly NoteSignature[] }
  /** Ask a witness of others for a size that is final, with its final note. */
  | {
      readonly kind: "ask outside";
      readonly witness: string;
      readonly size: bigint;
      readonly oldSize: bigint;
    }
  | { readonly kind: "ahead"; readonly city: string; readonly witnessSize: bigint }
  /** The log key signed what is not held here: keep it as evidence. A `stop` follows. */
  | { readonly kind: "fork"; readonly shown: Uint8Array }
  /** More witnesses than may lie say that the term has ended: nothing is taken or signed any more; look for the new sequencer. */
  | { readonly kind: "ended" }
  /** Nothing is taken or signed any more, by this key, for ever. */
  | { readonly kind: "stop"; readonly reason: ReasonCode }
  /** Send a tick after this long, instead of an earlier wake. */
  | { readonly kind: "wake"; readonly delayMs: number };

export interface SequencerStep {
  readonly state: SequencerState;
  readonly effects: readonly SequencerEffect[];
}
