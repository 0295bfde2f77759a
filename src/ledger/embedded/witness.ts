import { equalBytes } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import type { Signer, Verifier } from "../../crypto/ports.ts";
import { type CityWitness, originOf } from "../../registry/cosigning.ts";
import type { WitnessStore } from "../store/store.ts";
import { witnessAnswer } from "./witness-answers.ts";
import { cosign, readForWitness } from "./checkpoints.ts";
import type { WitnessAnswer, WitnessPort } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import { cosigningNow } from "./trust.ts";
import {
  initialWitness,
  stepWitness,
  type WitnessEffect,
  type WitnessEvent,
  type WitnessState,
} from "./witness-machine.ts";

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
  /** The store failed: the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** A city's witness beside its replica: `add-checkpoint` of C2SP tlog-witness. */
export class Witness implements WitnessPort {
  readonly #options: WitnessOptions;
  readonly #answers = new Map<number, (answer: WitnessAnswer) => void>();
  readonly #stopListening: () => void;
  #state: WitnessState;
  #nextId = 0;
  #cancelWake: () => void = () => undefined;

  /** Throws MEMBER_UNKNOWN when the network knows no such city, KEY_UNKNOWN when its key is another. */
  constructor(options: WitnessOptions) {
    this.#options = options;
    const { replica, verifier, store } = options;
    assertKey(options);
    const origin = originOf(replica.network.id, replica.term().term);
    const promise = store.latest(origin);
    this.#state = initialWitness(
      {
        readCheckpoint: (note) => readForWitness(replica.trust(), note, verifier),
        waitMs: witnessWaitMs,
      },
      new Map(promise === undefined ? [] : [[origin, promise]]),
    );
    this.#stopListening = replica.onChange(() => {
      if (this.#state.waiting.size > 0) this.#take({ kind: "changed" });
    });
  }

  addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#answers.set(id, resolve);
      try {
        this.#take({ kind: "request", id, body });
      } catch (error) {
        this.#answers.delete(id);
        reject(error);
      }
    });
  }

  /** Requests that still wait are answered 503. */
  close(): void {
    this.#stopListening();
    this.#cancelWake();
    for (const id of [...this.#answers.keys()]) {
      this.#answer(id, witnessAnswer(503, "shutting down\n"));
    }
  }

  #take(event: WitnessEvent): void {
    const { state, effects } = stepWitness(this.#state, event, this.#options.clock.monotonicMs());
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: WitnessEffect): void {
    const { replica, store, clock, signer, scheduler } = this.#options;
    switch (effect.kind) {
      case "answer":
        this.#answer(effect.id, effect.answer);
        return;
      case "ask replica": {
        const { id, size } = effect;
        this.#take({ kind: "replica", id, verdict: replica.vouch(size) });
        return;
      }
      case "promise": {
        const { id, origin, before, after } = effect;
        const { isNew, latest } = this.#promise(() => ({
          isNew: store.advance(origin, before, after),
          latest: store.latest(origin),
        }));
        assertInvariant(latest !== undefined, "a promise was stored");
        this.#take({ kind: "promised", id, latest, isNew });
        return;
      }
      case "cosign": {
        const { key } = this.#witness();
        const timeMs = clock.nowMs();
        const line = cosign({ head: effect.checkpoint, name: key.name, signer, timeMs });
        this.#answer(effect.id, witnessAnswer(200, line));
        return;
      }
      case "fork": {
        const { held, shown } = effect;
        replica.distrust({ reason: "LEDGER_FORK", shown, ...(held && { held }) });
        return;
      }
      case "wake":
        this.#cancelWake();
        this.#cancelWake = scheduler.after(effect.delayMs, () => this.#take({ kind: "tick" }));
    }
  }

  /** A promise that may or may not be on the disk: nobody is answered, and the process has to end. */
  #promise<T>(write: () => T): T {
    try {
      return write();
    } catch (error) {
      this.#options.onFatal(error);
      throw error;
    }
  }

  #witness(): { readonly key: { readonly name: string } } {
    return cityWitness(this.#options);
  }

  #answer(id: number, answer: WitnessAnswer): void {
    this.#answers.get(id)?.(answer);
    this.#answers.delete(id);
  }
}

function cityWitness({ city, replica }: WitnessOptions): CityWitness {
  const { witnesses } = cosigningNow(replica.trust());
  const witness = witnesses.find((candidate) => candidate.city === city);
  if (witness === undefined) {
    throw new CausewayError("MEMBER_UNKNOWN", `the network has no city ${city}`);
  }
  return witness;
}

function assertKey(options: WitnessOptions): void {
  const { publicKey } = cityWitness(options).key;
  if (equalBytes(publicKey, options.signer.publicKey)) return;
  throw new CausewayError("KEY_UNKNOWN", "the network names another witness key for this city");
}
