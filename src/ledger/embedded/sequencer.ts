import { toHex, utf8 } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { sequencerQuietMs } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { sha256 } from "../../base/sha256.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { formatAddCheckpoint } from "../../note/add-checkpoint.ts";
import { cosignersBetween, cosigningRules, originOf } from "../../registry/cosigning.ts";
import type { SealedBatch, SubmitResult } from "../ports.ts";
import type { LedgerWriter } from "../store/store.ts";
import { joinCosignatures, readCosignature, readHead, signHead } from "./checkpoints.ts";
import { followItems, type Published } from "./follow-source.ts";
import type { CityWitness } from "./network.ts";
import { OutsideWitnesses, type OutsideWitness } from "./outside-witnesses.ts";
import type { FollowItem, FollowStart, LedgerHost, WitnessAnswer, WitnessPort } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import { publishedBy } from "./replica-source.ts";
import {
  initialSequencer,
  type SequencerConfig,
  type SequencerEffect,
  type SequencerEvent,
  type SequencerState,
  stepSequencer,
} from "./sequencer-machine.ts";
import { Signal } from "./signal.ts";
import { formatStartEvidence } from "./start-evidence.ts";
import { Submissions } from "./submissions.ts";
import type { StartEvidence } from "./term-start.ts";
import { cosigningNow } from "./trust.ts";
import { parseConflict } from "./witness-answers.ts";

export interface SequencerOptions {
  readonly replica: LedgerReplica;
  readonly store: LedgerWriter;
  readonly verifier: Verifier;
  /** The log key of the term. */
  readonly signer: Signer;
  /** Asked once for each witness, and again when a city has another one. */
  readonly witnessOf: (witness: CityWitness) => WitnessPort;
  /** Where the votes of this term contradict each other: shown to each witness before it is asked. */
  readonly evidence?: StartEvidence | undefined;
  /** Witnesses of others, asked once a size is final; they never count. */
  readonly outside?: readonly OutsideWitness[];
  /** How long nothing is served after the start; `sequencerQuietMs` unless told. */
  readonly quietMs?: number | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly onReport: (report: LedgerReport) => void;
  /** It signs nothing any more under the key of its term, for whatever reason: another gateway is the sequencer, or will be. */
  readonly onEnded?: () => void;
  /** The store failed: nothing more is answered, and the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** Something that an operator wants to know; nothing waits for it. */
export interface LedgerReport {
  readonly event:
    | "witness failed"
    | "witness ahead"
    | "witness refuses"
    | "sequencer serves"
    | "sequencer stopped"
    | "term ended"
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
  /** First line of every checkpoint of this term. */
  readonly #origin: string;
  readonly #submissions: Submissions;
  readonly #signal = new Signal();
  readonly #ports = new Map<string, { readonly name: string; readonly port: WitnessPort }>();
  /** Cities whose witness has kept the evidence. */
  readonly #shown = new Set<string>();
  readonly #outside: OutsideWitnesses;
  #state: SequencerState;
  #head: Head | undefined;
  #cancelWake: () => void = () => undefined;
  #isClosed = false;
  readonly #ended = new AbortController();

  constructor(options: SequencerOptions) {
    this.#options = options;
    const { replica, store, verifier, clock, scheduler, outside = [] } = options;
    this.#origin = originOf(replica.network.id, replica.term().term);
    // What the sequencer says of its own registry is what the others compare theirs with.
    replica.compareAll();
    this.#outside = new OutsideWitnesses(outside, { replica, verifier });
    const config: SequencerConfig = {
      heartbeatMs: replica.network.heartbeatMs,
      quietMs: options.quietMs ?? sequencerQuietMs,
      rules: ({ from, to }) =>
        to === 0n
          ? [cosigningNow(replica.trust()).rule]
          : cosigningRules(replica.state(), { from, to }),
      rootAt: (size) => replica.rootAt(size),
      outside: outside.map(({ name }) => name),
    };
    const final = replica.final();
    this.#state = initialSequencer(config, {
      finalSize: final?.size ?? 0n,
      quorumTimeMs: final?.timeMs,
    });
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

  /** Asks the witnesses what this log has signed, and then serves, unless this ledger is distrusted already. */
  start(): void {
    const { replica } = this.#options;
    replica.onFault(({ reason }) => this.#stop(reason));
    const fault = replica.fault();
    if (fault === undefined) this.#take({ kind: "start", size: replica.state().size });
    else this.#stop(fault.reason);
  }

  /** The newest final note with the lines of the witnesses of others that have cosigned it too. */
  publicNote(): Uint8Array | undefined {
    const final = this.#options.replica.final();
    return final && this.#outside.join(final);
  }

  /** Waits until this sequencer serves. */
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
    const published = publishedBy(replica, () => this.#head);
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
    const { replica, onReport, scheduler } = this.#options;
    switch (effect.kind) {
      case "poll":
        void this.#poll(effect.city);
        return;
      case "serve":
        onReport({ event: "sequencer serves", size: replica.state().size });
        this.#submissions.open();
        return;
      case "sign":
        this.#sign(effect.size);
        return;
      case "ask":
        void this.#ask(effect);
        return;
      case "quorum":
        this.#freeze(effect);
        return;
      case "ask outside":
        void this.#outside.ask(effect).then((event) => this.#take(event));
        return;
      case "ahead":
        onReport({ event: "witness ahead", city: effect.city, size: effect.witnessSize });
        return;
      case "fork": {
        const { term } = replica.term();
        replica.distrust({ reason: "LEDGER_FORK", shown: effect.shown, term });
        return;
      }
      case "ended":
        onReport({ event: "term ended", size: replica.state().size });
        this.#stop("LEDGER_UNAVAILABLE");
        return;
      case "stop":
        this.#stop(effect.reason);
        return;
      case "wake":
        this.#cancelWake();
        this.#cancelWake = scheduler.after(effect.delayMs, () => this.#take({ kind: "tick" }));
    }
  }

  #sign(size: bigint): void {
    const { replica, store, signer } = this.#options;
    if (this.#head?.size === size) return;
    const root = replica.rootAt(size) as Uint8Array;
    const note = signHead(this.#origin, { size, root }, signer);
    const registryDigest = replica.reader.registryDigest(size - 1n) as Uint8Array;
    store.setHead({ size, note });
    this.#head = { size, note, registryDigest };
    this.#signal.raise();
  }

  #ask({ city, size, oldSize }: Extract<SequencerEffect, { kind: "ask" }>): Promise<void> {
    return this.#orFailed(city, size, () => this.#cosignature(city, { size, oldSize }));
  }

  #poll(city: string): Promise<void> {
    const { size } = this.#options.replica.state();
    return this.#orFailed(city, size, async () => {
      const { port } = this.#witness(city, size);
      const answer = await port.latest(toHex(sha256(utf8(this.#origin))));
      return { kind: "told", city, head: this.#toldHead(answer) };
    });
  }

  async #orFailed(city: string, size: bigint, ask: () => Promise<SequencerEvent>): Promise<void> {
    let event: SequencerEvent;
    try {
      event = await ask();
    } catch (cause) {
      if (!this.#isClosed) {
        this.#options.onReport({ event: "witness failed", city, size, cause });
      }
      // It may have been started anew.
      this.#shown.delete(city);
      event = { kind: "failed", city };
    }
    this.#take(event);
  }

  /** What a witness shows of this log, `undefined` when it never cosigned any of it. Throws when it is not signed by its key. */
  #toldHead({ status, body }: WitnessAnswer): Extract<SequencerEvent, { kind: "told" }>["head"] {
    if (status === 404) return undefined;
    if (status !== 200) throw refused(status);
    const { replica, verifier } = this.#options;
    const note = utf8(body);
    const { origin, size, root } = readHead(replica.trust(), note, verifier);
    if (origin === this.#origin) return { size, root, note };
    throw new CausewayError("CHECKPOINT_INVALID", "the witness shows another log");
  }

  /** The witness that speaks for a city at a size. */
  #witness(city: string, size: bigint): { readonly key: CityWitness; readonly port: WitnessPort } {
    const { replica, witnessOf } = this.#options;
    const final = replica.final()?.size ?? 0n;
    const { state } = replica.trust();
    const from = final < size ? final : size;
    const all =
      size === 0n
        ? cosigningNow(replica.trust()).witnesses
        : cosignersBetween(state, { from, to: size });
    const key = all.find((candidate) => candidate.city === city);
    if (key === undefined) throw new CausewayError("MEMBER_UNKNOWN", `${city} has no witness`);
    const name = `${key.address} ${key.tls}`;
    const known = this.#ports.get(city);
    if (known?.name === name) return { key, port: known.port };
    const port = witnessOf(key);
    this.#ports.set(city, { name, port });
    return { key, port };
  }

  async #cosignature(
    city: string,
    { size, oldSize }: { readonly size: bigint; readonly oldSize: bigint },
  ): Promise<SequencerEvent> {
    const { replica, verifier } = this.#options;
    const head = this.#head;
    if (head?.size !== size) {
      throw new CausewayError("LEDGER_BEHIND", "the size is not published any more");
    }
    const { key, port } = this.#witness(city, size);
    await this.#showStart(city, port);
    const proof = replica.consistencyProof(oldSize, size);
    const request = formatAddCheckpoint({ oldSize, proof, checkpoint: head.note });
    const answer = await port.addCheckpoint(request);
    const witnessSize = parseConflict(answer);
    if (witnessSize !== undefined) return { kind: "conflict", city, witnessSize };
    // The log key is the one that the city's own replica knows: what is left is that the term has ended.
    if (answer.status === 403) return { kind: "refused", city };
    if (answer.status !== 200) throw refused(answer.status);
    const line = readCosignature(key, head.note, { body: answer.body, verifier });
    return { kind: "cosigned", city, size, line };
  }

  /** Until the witness has kept it: its replica may not know the term yet. */
  async #showStart(city: string, port: WitnessPort): Promise<void> {
    const { evidence, replica } = this.#options;
    if (evidence === undefined || this.#shown.has(city)) return;
    const { status } = await port.takeEvidence(replica.term().term, formatStartEvidence(evidence));
    if (status !== 202) throw refused(status);
    this.#shown.add(city);
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
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelWake();
    this.#submissions.close(reason);
    this.#options.onReport({ event: "sequencer stopped", reason });
    this.#options.onEnded?.();
  }
}

function refused(status: number): CausewayError {
  return new CausewayError("LEDGER_UNAVAILABLE", `the witness answered ${status}`, {
    fields: { status: String(status) },
  });
}
