/** What goes into a witness's machine and what comes out of it. */
import type { ReasonCode } from "../../base/reasons.ts";
import type { AddCheckpointRequest } from "../../note/add-checkpoint.ts";
import type { Rejection, VerifiedBatch } from "../../registry/verify-batch.ts";
import type { SealedBatch } from "../ports.ts";
import type { ChainPlace, LostState, WitnessedHead } from "../store/store.ts";
import type { HeldBatch, HeldBatches } from "./held-batches.ts";
import type { WitnessAnswer } from "./ports.ts";
import type { PrefixRoots, StartEvidence, StartQuestion } from "./term-start.ts";

/** A checkpoint whose log signature verified. */
export interface OpenedCheckpoint {
  readonly term: bigint;
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly note: Uint8Array;
}

export type CheckpointReading =
  | { readonly kind: "signed"; readonly checkpoint: OpenedCheckpoint }
  /** Signed by the log of a term after which the replica knows another. */
  | { readonly kind: "ended" }
  | { readonly kind: "malformed" | "origin unknown" | "not signed" };

export interface WitnessConfig {
  /** Reads a note against the keys of the logs that this witness follows. */
  readCheckpoint(note: Uint8Array): CheckpointReading;
  /** How long a request waits for the replica. */
  readonly waitMs: number;
  /** After it a batch that is held must stand in what is cosigned. */
  readonly inclusionBoundMs: number;
  /** The own cosigning key, raw, hex. */
  readonly key: string;
  /** Whether two cities are the network: neither may lie, and nothing becomes final without both. */
  isPair?(): boolean;
}

/** What the replica says of the tree at a size. */
export type ReplicaVerdict =
  /** Every body is stored and verified, and the registry digest is that of the sequencer. */
  | { readonly kind: "stands"; readonly root: Uint8Array }
  | { readonly kind: "behind" }
  | { readonly kind: "distrusted" };

/** How a term was opened, from the leaf that carries its votes, and the tree in which it stands. */
export interface TermOpening {
  readonly term: bigint;
  /** Where the registry has it begin: the start lies from here up to `since`. */
  readonly start: bigint;
  /** Index of the leaf that carries the votes. */
  readonly since: bigint;
  readonly question: StartQuestion;
  readonly tree: PrefixRoots;
  /** What was shown to this witness, where the votes contradict each other. */
  readonly evidence?: StartEvidence | undefined;
}

/** A promise with the origin that it was given for. */
export interface PromisedHead extends WitnessedHead {
  readonly term: bigint;
}

/**
 * The terms of the own replica once the newest is beyond doubt: the leaf with its votes is final, or they let it
 * begin where it does.
 */
export interface SettledTerms {
  /** Ascending. */
  readonly terms: readonly bigint[];
  /** The newest final checkpoint, of whichever term. */
  readonly final: PromisedHead;
}

/** What is durable. */
export interface StoredWitness {
  /** Promises by origin. */
  readonly promises: ReadonlyMap<string, PromisedHead>;
  /** Nothing of a lower term is cosigned. */
  readonly promisedTerm: bigint;
  /** Log key, hex, of the appointment that it was promised for; absent when that came with a cosignature. */
  readonly promisedChoice?: string | undefined;
  readonly lost: LostState | undefined;
}

export interface Waiting {
  readonly request: AddCheckpointRequest;
  readonly checkpoint: OpenedCheckpoint;
  readonly deadlineMs: number;
}

export interface WitnessState extends StoredWitness {
  readonly config: WitnessConfig;
  readonly waiting: ReadonlyMap<number, Waiting>;
  readonly held: HeldBatches;
}

/** What became of a promise not to cosign below a term. */
export type TermPromise =
  | {
      readonly kind: "promised";
      readonly term: bigint;
      /** What the city's vote names (`votedHead`), as the log signed it. */
      readonly highest: PromisedHead | undefined;
    }
  | { readonly kind: "refused"; readonly reason: "TERM_ENDED" | "WITNESS_STATE_LOST" };

export type WitnessEvent =
  /** `POST /add-checkpoint` came; `id` names it until it is answered. */
  | { readonly kind: "request"; readonly id: number; readonly body: Uint8Array }
  /** Answer to `ask replica`, of the replica as it is in this moment. */
  | {
      readonly kind: "replica";
      readonly id: number;
      readonly verdict: ReplicaVerdict;
      /** Newest final size of the replica; 0 without one. */
      readonly finalSize: bigint;
      /** Whether `isOmitted` holds of any of the overdue batches at that size. */
      readonly omits: boolean;
      /** When it was asked for. */
      readonly opening?: TermOpening | undefined;
    }
  /** The replica may say something else now. */
  | { readonly kind: "changed" }
  /** Answer to `promise`: durable if `isNew`; otherwise not written, because `latest` stands or `promisedTerm` is above. */
  | {
      readonly kind: "promised";
      readonly id: number;
      readonly latest: WitnessedHead | undefined;
      readonly promisedTerm: bigint;
      readonly isNew: boolean;
    }
  /** Somebody asks for the newest cosigned note of an origin. */
  | { readonly kind: "show"; readonly id: number; readonly origin: string }
  /** The city is to vote for `term`; `currentTerm` is the newest that the replica knows. */
  | {
      readonly kind: "promise term";
      readonly id: number;
      readonly term: bigint;
      /** Log key, hex, of the appointment; asked again for the same one, the answer is the same. */
      readonly choice?: string | undefined;
      readonly currentTerm: bigint;
      readonly settled?: SettledTerms | undefined;
    }
  /** Answer to `store term`: durable if `isNew`; otherwise not written, because `promisedTerm` stands. */
  | {
      readonly kind: "term stored";
      readonly id: number;
      readonly promisedTerm: bigint;
      readonly choice?: string | undefined;
      readonly isNew: boolean;
      readonly settled?: SettledTerms | undefined;
    }
  /** Another key spoke for the city before the present one: what that promised is to be known. */
  | { readonly kind: "key replaced"; readonly key: string; readonly term: bigint }
  /** A verified note carries the own city's cosignature of a size. */
  | {
      readonly kind: "own cosignature";
      /** The city's key at that size, raw, hex; the present one unless told. */
      readonly key?: string;
      readonly term: bigint;
      readonly origin: string;
      readonly size: bigint;
    }
  /** A batch was handed in, by its gateway or another witness, with what `verifyBatch` made of it. */
  | {
      readonly kind: "hold";
      readonly id: number;
      readonly batch: SealedBatch;
      readonly verified: VerifiedBatch | Rejection;
      /** Where the own replica has it already. */
      readonly index?: bigint | undefined;
    }
  /** The own replica has included a leaf. */
  | { readonly kind: "included"; readonly leafHash: string; readonly index: bigint }
  /** The own replica's newest final size, and the newest final place of each chain (those of held batches suffice). */
  | { readonly kind: "final"; readonly size: bigint; readonly tips: readonly ChainPlace[] }
  /** The own replica has dropped its leaves from `size` on. */
  | { readonly kind: "dropped"; readonly size: bigint }
  /** The own replica went over to `term`; of the leaves before, those below `size` stand. */
  | { readonly kind: "term began"; readonly term: bigint; readonly size: bigint }
  | { readonly kind: "tick" };

export type WitnessEffect =
  /** Answers `request`, `hold`, and a `show` that finds nothing. */
  | { readonly kind: "answer"; readonly id: number; readonly answer: WitnessAnswer }
  /** Answered by the event `replica`. */
  | {
      readonly kind: "ask replica";
      readonly id: number;
      readonly size: bigint;
      /** The term whose opening is asked for: nothing of it was cosigned yet. */
      readonly openingOf: bigint | undefined;
      readonly overdue: readonly HeldBatch[];
    }
  /** Compare and replace in one durable step, unless a later term is promised; `term` is promised with it. */
  | {
      readonly kind: "promise";
      readonly id: number;
      readonly term: bigint;
      readonly origin: string;
      readonly before: WitnessedHead | undefined;
      readonly after: WitnessedHead;
    }
  | { readonly kind: "cosign"; readonly id: number; readonly checkpoint: OpenedCheckpoint }
  /** Answers `show`: the note with the own cosignature, the last one given for it where it is at hand. */
  | { readonly kind: "show"; readonly id: number; readonly checkpoint: PromisedHead }
  /** Promise a term in one durable step, unless this or a later one is promised. */
  | {
      readonly kind: "store term";
      readonly id: number;
      readonly term: bigint;
      readonly choice?: string | undefined;
    }
  /** Answers `promise term`. */
  | { readonly kind: "term promised"; readonly id: number; readonly result: TermPromise }
  /** To be durable before anything else is done. */
  | { readonly kind: "store lost"; readonly lost: LostState }
  /** To the sequencer, and to every other city's witness. */
  | { readonly kind: "forward"; readonly held: HeldBatch }
  /** Something that an operator has to know. */
  | { readonly kind: "report"; readonly reason: ReasonCode; readonly size: bigint }
  /** The log signed a tree that is not the one held: both heads are evidence. */
  | { readonly kind: "fork"; readonly held: Uint8Array | undefined; readonly shown: Uint8Array }
  /** Send a tick after this long, instead of an earlier wake. */
  | { readonly kind: "wake"; readonly delayMs: number };

export interface WitnessStep {
  readonly state: WitnessState;
  readonly effects: readonly WitnessEffect[];
}
