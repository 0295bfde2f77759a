import { toHex, utf8 } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { startEvidenceBytesMax, startEvidencesMax } from "../../base/limits.ts";
import { Lru } from "../../base/lru.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { sha256 } from "../../base/sha256.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { parseCheckpoint } from "../../note/checkpoint.ts";
import { parseNote, parseSignatureLines } from "../../note/note.ts";
import { verifyBatch } from "../../registry/verify-batch.ts";
import type { SealedBatch } from "../ports.ts";
import type { ChainPlace, WitnessStore } from "../store/store.ts";
import { cosign, joinCosignatures, readForWitness, readOwnCosignature } from "./checkpoints.ts";
import type { HeldBatch } from "./held-batches.ts";
import { assertKey, cityWitness, earlierKeyOf } from "./hosted-city.ts";
import { isOmitted, type LedgerLook } from "./omission.ts";
import type { WitnessAnswer, WitnessPort } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import { parseStartEvidence } from "./start-evidence.ts";
import { storedWitness } from "./stored-witness.ts";
import { openingOf, settledTerms, trustedOpeningOf } from "./term-opening.ts";
import type { StartEvidence } from "./term-start.ts";
import { cosigningNow } from "./trust.ts";
import { witnessAnswer } from "./witness-answers.ts";
import { isRightlyOpened } from "./witness-terms.ts";
import { initialWitness, stepWitness } from "./witness-machine.ts";
import type {
  PromisedHead,
  TermPromise,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
} from "./witness-types.ts";

/** How long a request waits for the replica: less than its client waits for an answer. */
export const witnessWaitMs: number = 10_000;

export interface WitnessOptions {
  readonly city: string;
  /** The city's one cosigning key. */
  readonly signer: Signer;
  readonly store: WitnessStore;
  readonly replica: LedgerReplica;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Hands what is held for too long to the sequencer and to every other city's witness; tells nothing. */
  readonly forward?: (held: HeldBatch) => void;
  readonly onReport?: (report: WitnessReport) => void;
  /** The store failed: the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** Something that an operator has to know. */
export interface WitnessReport {
  readonly event: "witness refuses";
  readonly reason: ReasonCode;
  readonly size: bigint;
}

type Asked =
  | { readonly kind: "answer"; resolve(answer: WitnessAnswer): void }
  | { readonly kind: "term"; resolve(result: TermPromise): void };

/** A city's witness beside its replica: `add-checkpoint` of C2SP tlog-witness, terms, and held batches. */
export class Witness implements WitnessPort {
  readonly #options: WitnessOptions;
  readonly #asked = new Map<number, Asked>();
  readonly #stopListening: readonly (() => void)[];
  /** The newest cosignature of each origin. */
  readonly #cosigned = new Map<string, { readonly size: bigint; readonly line: string }>();
  readonly #evidence = new Lru<bigint, StartEvidence>(startEvidencesMax);
  /** What was promised and may not be on the disk yet; it is cosigned once it is. */
  readonly #promising = new Set<Promise<void>>();
  #state: WitnessState;
  #nextId = 0;
  #cancelWake: () => void = () => undefined;

  /** Throws MEMBER_UNKNOWN when the network knows no such city, KEY_UNKNOWN when its key is another. */
  constructor(options: WitnessOptions) {
    this.#options = options;
    const { replica, verifier, store, signer } = options;
    assertKey(options);
    this.#state = initialWitness(
      {
        readCheckpoint: (note) => readForWitness(replica.trust(), note, verifier),
        waitMs: witnessWaitMs,
        inclusionBoundMs: replica.network.inclusionBoundMs,
        key: toHex(signer.publicKey),
        isPair: () => cosigningNow(replica.trust()).rule.cities.length === 2,
      },
      storedWitness(store),
    );
    const earlier = earlierKeyOf(options);
    if (earlier !== undefined) this.#take({ kind: "key replaced", ...earlier });
    this.#compareWithNotes();
    this.#stopListening = [
      replica.onChange(() => {
        if (this.#state.waiting.size > 0) this.#take({ kind: "changed" });
      }),
      replica.onIncluded(({ leafHash, index }) => {
        if (this.#state.held.size === 0) return;
        this.#take({ kind: "included", leafHash: toHex(leafHash), index });
      }),
      replica.onFinal(({ size, note: final }) => {
        this.#hearNote(final);
        if (this.#state.held.size > 0) this.#take({ kind: "final", size, tips: this.#tips(size) });
      }),
      replica.onDropped((size) => this.#take({ kind: "dropped", size })),
      replica.onTerm(({ term, start }) => this.#take({ kind: "term began", term, size: start })),
    ];
  }

  addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    return this.#ask((id) => this.#take({ kind: "request", id, body }));
  }

  latest(originHash: string): Promise<WitnessAnswer> {
    const isIt = (origin: string): boolean => toHex(sha256(utf8(origin))) === originHash;
    const origin = [...this.#state.promises.keys()].find(isIt) ?? "";
    return this.#ask((id) => this.#take({ kind: "show", id, origin }));
  }

  async holdBatch(batch: SealedBatch): Promise<WitnessAnswer> {
    const { replica, verifier } = this.#options;
    const verified = await verifyBatch(replica.state(), batch, verifier);
    const index = verified.kind === "verified" ? replica.indexOfLeaf(verified.leafHash) : undefined;
    if (index !== undefined && index < (replica.final()?.size ?? 0n)) {
      return witnessAnswer(202, "final\n");
    }
    return this.#ask((id) => this.#take({ kind: "hold", id, batch, verified, index }));
  }

  /**
   * Before the city's authority signs a vote for a term: from then on nothing of a lower one is cosigned.
   * `choice` is the log key of the appointment, hex: a city votes for one in each term.
   */
  async promiseTerm(term: bigint, choice: string): Promise<TermPromise> {
    // The vote says what was cosigned highest: what is on its way there comes first.
    while (this.#promising.size > 0) await Promise.all(this.#promising);
    const currentTerm = this.#options.replica.term().term;
    const settled = settledTerms(this.#options.replica, this.#shown);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#asked.set(id, { kind: "term", resolve });
      this.#orReject(id, reject, () =>
        this.#take({ kind: "promise term", id, term, choice, currentTerm, settled }),
      );
    });
  }

  /** Kept when it shows the start of a term that the replica knows, in which nothing was cosigned yet. */
  async takeEvidence(term: bigint, bytes: Uint8Array): Promise<WitnessAnswer> {
    const { replica, verifier } = this.#options;
    if (bytes.length > startEvidenceBytesMax) return witnessAnswer(413, "too large\n");
    const evidence = readEvidence(bytes);
    if (evidence === undefined) return witnessAnswer(400, "malformed evidence\n");
    const opening = openingOf(replica, term, { verifier, evidence });
    if (opening === undefined) return witnessAnswer(404, "unknown term\n");
    if (!isRightlyOpened(opening)) return witnessAnswer(422, "this shows no start of the term\n");
    this.#evidence.set(term, evidence);
    return witnessAnswer(202, "kept\n");
  }

  /** Requests that still wait are answered 503. */
  close(): void {
    for (const stop of this.#stopListening) stop();
    this.#cancelWake();
    for (const id of [...this.#asked.keys()])
      this.#answer(id, witnessAnswer(503, "shutting down\n"));
  }

  #ask(take: (id: number) => void): Promise<WitnessAnswer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#asked.set(id, { kind: "answer", resolve });
      this.#orReject(id, reject, () => take(id));
    });
  }

  #orReject(id: number, reject: (error: unknown) => void, take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#asked.delete(id);
      reject(error);
    }
  }

  #take(event: WitnessEvent): void {
    const { state, effects } = stepWitness(this.#state, event, this.#options.clock.monotonicMs());
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  /** What the openings of terms are judged by, beside the replica. */
  get #shown(): Parameters<typeof settledTerms>[1] {
    const { verifier } = this.#options;
    return { verifier, evidenceOf: (term) => this.#evidence.get(term) };
  }

  #perform(effect: WitnessEffect): void {
    const { replica, scheduler, onReport } = this.#options;
    switch (effect.kind) {
      case "answer":
        this.#answer(effect.id, effect.answer);
        return;
      case "term promised":
        this.#answerTerm(effect.id, effect.result);
        return;
      case "ask replica":
        this.#askReplica(effect);
        return;
      case "promise":
      case "store term":
      case "store lost":
        this.#store(effect);
        return;
      case "cosign":
        this.#answer(effect.id, witnessAnswer(200, this.#cosign(effect.checkpoint)));
        return;
      case "show":
        this.#show(effect.id, effect.checkpoint);
        return;
      case "forward":
        this.#options.forward?.(effect.held);
        return;
      case "report":
        onReport?.({ event: "witness refuses", reason: effect.reason, size: effect.size });
        return;
      case "fork": {
        const { held, shown } = effect;
        const { term } = replica.term();
        replica.distrust({ reason: "LEDGER_FORK", shown, term, ...(held && { held }) });
        return;
      }
      case "wake":
        this.#cancelWake();
        this.#cancelWake = scheduler.after(effect.delayMs, () => this.#take({ kind: "tick" }));
    }
  }

  #askReplica(effect: Extract<WitnessEffect, { kind: "ask replica" }>): void {
    const { replica } = this.#options;
    const { id, size, openingOf: term, overdue } = effect;
    const verdict = replica.vouch(size);
    const look = lookOf(replica);
    const omits = verdict.kind === "stands" && overdue.some((held) => isOmitted(held, size, look));
    const opening = term === undefined ? undefined : trustedOpeningOf(replica, term, this.#shown);
    const finalSize = replica.final()?.size ?? 0n;
    this.#take({ kind: "replica", id, verdict, finalSize, omits, opening });
  }

  #store(effect: Extract<WitnessEffect, { kind: "promise" | "store term" | "store lost" }>): void {
    const { store } = this.#options;
    switch (effect.kind) {
      case "promise": {
        const promising = this.#promise(effect).finally(() => this.#promising.delete(promising));
        this.#promising.add(promising);
        return;
      }
      case "store term": {
        const { id, term, choice = "" } = effect;
        const stored = this.#durably(() => ({
          isNew: store.promiseTerm({ term, choice }),
          promisedTerm: store.promisedTerm(),
          choice,
        }));
        const settled = settledTerms(this.#options.replica, this.#shown);
        this.#take({ kind: "term stored", id, ...stored, settled });
        return;
      }
      case "store lost":
        this.#durably(() => store.setLost(effect.lost));
    }
  }

  /** Nobody is answered before the disk has it. */
  async #promise(effect: Extract<WitnessEffect, { kind: "promise" }>): Promise<void> {
    const { store, onFatal } = this.#options;
    const { id, origin } = effect;
    try {
      const isNew = store.advance(effect);
      const stored = { isNew, latest: store.latest(origin), promisedTerm: store.promisedTerm() };
      await store.synced();
      this.#take({ kind: "promised", id, ...stored });
    } catch (error) {
      onFatal(error);
    }
  }

  /** A promise that may or may not be on the disk: nobody is answered, and the process has to end. */
  #durably<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      this.#options.onFatal(error);
      throw error;
    }
  }

  #cosign(head: {
    readonly origin: string;
    readonly size: bigint;
    readonly root: Uint8Array;
  }): string {
    const { signer, clock } = this.#options;
    const { name } = cityWitness(this.#options).key;
    const line = cosign({ head, name, signer, timeMs: clock.nowMs() });
    this.#cosigned.set(head.origin, { size: head.size, line });
    return line;
  }

  #show(id: number, promise: PromisedHead): void {
    const origin = [...this.#state.promises].find(([, head]) => head === promise)?.[0] ?? "";
    const given = this.#cosigned.get(origin);
    let line = given?.size === promise.size ? given.line : undefined;
    // Promised and not known to be cosigned, such as before a restart: the promise allows it while the term lasts.
    if (promise.term >= this.#state.promisedTerm) line ??= this.#cosign({ ...promise, origin });
    const lines = line === undefined ? [] : parseSignatureLines(utf8(line));
    const note = joinCosignatures(promise.note, lines);
    this.#answer(id, witnessAnswer(200, new TextDecoder().decode(note)));
  }

  /** Is the newest cosignature of the own city among the final notes still known, whichever key it had then? */
  #compareWithNotes(): void {
    const { reader } = this.#options.replica;
    const heartbeat = reader.heartbeat();
    if (heartbeat !== undefined && this.#hearNote(heartbeat)) return;
    let frozen = reader.newestFrozen();
    // The city may have slept through many, or been too slow for them.
    while (frozen !== undefined && !this.#isPromised(frozen.note)) {
      if (this.#hearNote(frozen.note)) return;
      frozen = reader.frozenBefore(frozen.size);
    }
  }

  #isPromised(note: Uint8Array): boolean {
    const { origin, size } = parseCheckpoint(parseNote(note).text);
    return (this.#state.promises.get(origin)?.size ?? -1n) >= size;
  }

  #hearNote(note: Uint8Array): boolean {
    const { city, replica, verifier } = this.#options;
    const own = readOwnCosignature(replica.trust(), note, { city, verifier });
    if (own !== undefined) this.#take({ kind: "own cosignature", ...own });
    return own !== undefined;
  }

  #tips(size: bigint): readonly ChainPlace[] {
    const { chains } = this.#options.replica.state();
    const gateways = new Set([...this.#state.held.values()].map(({ place }) => place.gateway));
    return [...gateways].flatMap((gateway) => {
      const tip = chains.get(gateway);
      if (tip === undefined || tip.index >= size) return [];
      return [{ gateway, epoch: tip.epoch, seq: tip.seq }];
    });
  }

  #answer(id: number, answer: WitnessAnswer): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked?.kind === "answer") asked.resolve(answer);
  }

  #answerTerm(id: number, result: TermPromise): void {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked?.kind === "term") asked.resolve(result);
  }
}

function readEvidence(bytes: Uint8Array): StartEvidence | undefined {
  try {
    return parseStartEvidence(bytes);
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function lookOf(replica: LedgerReplica): LedgerLook {
  return {
    state: () => replica.state(),
    rootAt: (size) => replica.rootAt(size),
    indexOfLeaf: (leafHash) => replica.indexOfLeaf(leafHash),
    blobSize: (digest) => replica.reader.blobSize(digest),
  };
}
