import type { Clock, Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { formatAddCheckpoint } from "../../note/add-checkpoint.ts";
import { originOf } from "../../registry/cosigning.ts";
import type { SealedBatch, SubmitResult } from "../ports.ts";
import type { LedgerWriter } from "../store/store.ts";
import { joinCosignatures, readCosignature, signHead } from "./checkpoints.ts";
import { followItems, type Published } from "./follow-source.ts";
import type { CityWitness } from "./network.ts";
import type { FollowItem, FollowStart, LedgerHost, WitnessPort } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import {
  initialSequencer,
  type SequencerEffect,
  type SequencerEvent,
  type SequencerState,
  stepSequencer,
} from "./sequencer-machine.ts";
import { Signal } from "./signal.ts";
import { Submissions } from "./submissions.ts";
import { cosigningNow } from "./trust.ts";
import { parseConflict } from "./witness-answers.ts";

export interface SequencerOptions {
  readonly replica: LedgerReplica;
  readonly store: LedgerWriter;
  readonly verifier: Verifier;
  /** The log key of the term. */
  readonly signer: Signer;
  readonly witnessOf: (witness: CityWitness) => WitnessPort;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly onReport: (report: LedgerReport) => void;
  /** The store failed: nothing more is answered, and the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** Something that an operator wants to know; nothing waits for it. */
export interface LedgerReport {
  readonly event:
    | "witness failed"
    | "witness ahead"
    | "sequencer stopped"
    | "ledger distrusted"
    | "follow interrupted";
  readonly city?: string;
  readonly reason?: ReasonCode;
  readonly size?: bigint;
  readonly cause?: unknown;
}

type Head = NonNullable<ReturnType<Published["head"]>>;

/** The sequencer of an embedded ledger: gives batches their order and has each newest size cosigned. */
export class Sequencer implements LedgerHost {
  readonly #options: SequencerOptions;
  readonly #submissions: Submissions;
  readonly #signal = new Signal();
  readonly #witnesses: ReadonlyMap<
    string,
    { readonly key: CityWitness; readonly port: WitnessPort }
  >;
  #state: SequencerState;
  #head: Head | undefined;
  #cancelWake: () => void = () => undefined;
  #isClosed = false;
  readonly #ended = new AbortController();

  constructor(options: SequencerOptions) {
    this.#options = options;
    const { replica, store, verifier, clock, scheduler } = options;
    const { network } = replica;
    // What the sequencer says of its own registry is what the others compare theirs with.
    replica.compareAll();
    const { rule, witnesses } = cosigningNow(replica.trust());
    this.#witnesses = new Map(
      witnesses.map((key) => [key.city, { key, port: options.witnessOf(key) }]),
    );
    this.#state = initialSequencer(
      {
        cities: [...this.#witnesses.keys()],
        quorum: rule.quorum,
        faults: rule.faults,
        heartbeatMs: network.heartbeatMs,
      },
      { finalSize: replica.final()?.size ?? 0n, quorumTimeMs: replica.final()?.timeMs },
    );
    this.#submissions = new Submissions({
      replica,
      store,
      verifier,
      clock,
      scheduler,
      onStored: () => this.#stored(),
      onFatal: options.onFatal,
    });
  }

  /** Puts the stored size before the witnesses, unless this ledger is distrusted already. */
  start(): void {
    const { replica } = this.#options;
    replica.onFault(({ reason }) => this.#stop(reason));
    const fault = replica.fault();
    if (fault === undefined) this.#stored();
    else this.#stop(fault.reason);
  }

  submit(batch: SealedBatch): Promise<SubmitResult> {
    return this.#submissions.submit(batch);
  }

  async putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void> {
    this.#options.replica.putBlob(sha256, content);
  }

  blob(sha256: Uint8Array): Uint8Array | undefined {
    return this.#options.replica.blob(sha256);
  }

  follow(start: FollowStart, signal: AbortSignal): AsyncIterable<FollowItem> {
    const { replica } = this.#options;
    const published: Published = { head: () => this.#head, final: () => replica.final() };
    const source = { reader: replica.reader, published, signal: this.#signal };
    return followItems(source, start, AbortSignal.any([signal, this.#ended.signal]));
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelWake();
    this.#submissions.close("SHUTTING_DOWN");
    this.#ended.abort();
  }

  /** Persisted sizes alone are published: what a signed head covers survives a crash. */
  #stored(): void {
    const { replica } = this.#options;
    replica.compareAll();
    this.#signal.raise();
    this.#take({ kind: "persisted", size: replica.state().size });
  }

  #take(event: SequencerEvent): void {
    if (this.#isClosed) return;
    const { clock } = this.#options;
    const now = { nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    const { state, effects } = stepSequencer(this.#state, event, now);
    this.#state = state;
    try {
      for (const effect of effects) this.#perform(effect);
    } catch (error) {
      // Signed and not known to be stored, or a defect: nothing goes on after it.
      this.#isClosed = true;
      this.#options.onFatal(error);
    }
  }

  #perform(effect: SequencerEffect): void {
    switch (effect.kind) {
      case "sign":
        this.#sign(effect.size);
        return;
      case "ask":
        void this.#ask(effect);
        return;
      case "quorum":
        this.#freeze(effect);
        return;
      case "ahead":
        this.#options.onReport({
          event: "witness ahead",
          city: effect.city,
          size: effect.witnessSize,
        });
        return;
      case "stop":
        this.#stop(effect.reason);
        return;
      case "wake":
        this.#cancelWake();
        this.#cancelWake = this.#options.scheduler.after(effect.delayMs, () =>
          this.#take({ kind: "tick" }),
        );
    }
  }

  #sign(size: bigint): void {
    const { replica, store, signer } = this.#options;
    if (this.#head?.size === size) return;
    const root = replica.rootAt(size) as Uint8Array;
    const note = signHead(originOf(replica.network.id, replica.term().term), { size, root }, signer);
    const registryDigest = replica.reader.registryDigest(size - 1n) as Uint8Array;
    store.setHead({ size, note });
    this.#head = { size, note, registryDigest };
    this.#signal.raise();
  }

  async #ask(effect: Extract<SequencerEffect, { kind: "ask" }>): Promise<void> {
    const { city, size, oldSize } = effect;
    let event: SequencerEvent;
    try {
      event = await this.#cosignature(city, { size, oldSize });
    } catch (cause) {
      this.#options.onReport({ event: "witness failed", city, size, cause });
      event = { kind: "failed", city };
    }
    this.#take(event);
  }

  async #cosignature(
    city: string,
    { size, oldSize }: { readonly size: bigint; readonly oldSize: bigint },
  ): Promise<SequencerEvent> {
    const { replica, verifier } = this.#options;
    const witness = this.#witnesses.get(city);
    const head = this.#head;
    if (witness === undefined || head?.size !== size) {
      throw new CausewayError("LEDGER_BEHIND", "the size is not published any more");
    }
    const proof = replica.consistencyProof(oldSize, size);
    const request = formatAddCheckpoint({ oldSize, proof, checkpoint: head.note });
    const answer = await witness.port.addCheckpoint(request);
    const witnessSize = parseConflict(answer);
    if (witnessSize !== undefined) return { kind: "conflict", city, witnessSize };
    if (answer.status !== 200) {
      throw new CausewayError("LEDGER_UNAVAILABLE", `the witness answered ${answer.status}`, {
        fields: { status: String(answer.status) },
      });
    }
    const line = readCosignature(witness.key, head.note, { body: answer.body, verifier });
    return { kind: "cosigned", city, size, line };
  }

  /** The own replica judges the note as every other does; only then is it final. */
  #freeze({ size, lines }: Extract<SequencerEffect, { kind: "quorum" }>): void {
    const { replica } = this.#options;
    if (this.#head?.size !== size) return;
    const note = joinCosignatures(this.#head.note, lines);
    try {
      if (!replica.takeFinal(note)) return;
    } catch (cause) {
      if (!(cause instanceof CausewayError) || cause.code === "STORAGE_FAILED") {
        this.#options.onFatal(cause);
        return;
      }
      // Such as a cosignature ahead of this clock by more than the skew: it is asked for again.
      this.#options.onReport({ event: "witness failed", size, reason: cause.code, cause });
      return;
    }
    const timeMs = replica.final()?.timeMs ?? 0;
    this.#signal.raise();
    this.#take({ kind: "stored", size, timeMs });
  }

  #stop(reason: ReasonCode): void {
    this.#isClosed = true;
    this.#cancelWake();
    this.#submissions.close(reason);
    this.#options.onReport({ event: "sequencer stopped", reason });
  }
}
