/** The records of one exchange at the consumer's gateway: acknowledgements and closings, each sealed once. */
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { commit, commitUnderSeed } from "../crypto/commitments.ts";
import { type StatusFrame, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { SealedRecord, StateChange } from "../ledger/ports.ts";
import { recordHash } from "../record/record.ts";
import type { Attempt, ExchangeOptions } from "./consumer-attempt.ts";
import type {
  CheckResult,
  ClosedSource,
  ConsumerEvent,
  ConsumerOutcome,
} from "./consumer-machine.ts";
import { encodeAcknowledgement, encodeConsumerClosed } from "./consumer-records.ts";
import type { ConsumerRequest } from "./consumer-request.ts";
import { acknowledgementFrame, proofOf } from "./frames.ts";
import type { CheckedProof } from "./proof-check.ts";
import { receivedResponse } from "./receipt-check.ts";
import { recordedReason } from "./received-proof.ts";
import { statusOf } from "./status.ts";

export interface ConsumerSealingOptions {
  readonly exchange: ExchangeOptions;
  step(event: ConsumerEvent): void;
  /** An acknowledgement is durable. */
  acknowledged(messages: readonly Uint8Array[], final: boolean): void;
  /** A closing is durable. */
  closed(outcome: ConsumerOutcome, grpcCode: number): void;
}

export class ConsumerSealing {
  readonly #o: ExchangeOptions;
  readonly #hears: ConsumerSealingOptions;
  /** What the caller gets when the exchange fails. */
  failure: StatusFrame | undefined;
  /** Record hash of the attempt's newest acknowledgement. */
  #prevRecord: Uint8Array | undefined;
  /** Frames that the caller has taken. */
  #handedOver = 0;

  constructor(options: ConsumerSealingOptions) {
    this.#o = options.exchange;
    this.#hears = options;
  }

  /** A new attempt has no records. */
  begin(): void {
    this.failure = undefined;
    this.#prevRecord = undefined;
    this.#handedOver = 0;
  }

  /** The caller has taken one more frame of the answer. */
  handedOver(): void {
    this.#handedOver += 1;
  }

  acknowledge(options: {
    readonly attempt: Attempt;
    readonly request: ConsumerRequest | undefined;
    readonly answer: AnswerFrame;
    readonly receipt: CheckedProof;
    readonly result: CheckResult;
    readonly final: boolean;
  }): void {
    const { attempt, request, answer, receipt, result, final } = options;
    const { name, received, seed, requestSalt: salt } = attempt;
    const own = (): Uint8Array =>
      commitUnderSeed({ seed, label: "response", value: received.transcript }).commitment;
    const record = encodeAcknowledgement({
      name,
      receipt: { leafHash: receipt.leafHash, position: receipt.position },
      receiptRecord: receipt.recordHash,
      request:
        request === undefined
          ? { commitment: attempt.requestCommitment as Uint8Array, frames: 2 }
          : {
              commitment: commit({ label: "request", salt, value: request.transcript }),
              frames: request.frames,
            },
      responseCommitment: receivedResponse(received) ?? own(),
      received,
      messages: answer.messages,
      result,
      final,
      callerSystem: this.#o.system.id,
      localRule: "system",
    });
    const hash = recordHash(record);
    const states = final
      ? this.#o.known.closing(attempt.key, this.#o.ports.clock.nowMs())
      : this.#o.known.recorded(attempt.key, name, hash);
    this.#seal(record, attempt, states, (sealed) => {
      this.#prevRecord = hash;
      this.#hears.acknowledged(answer.messages, final);
      this.#o.acknowledged(attempt, sealed);
    });
  }

  close(options: {
    readonly attempt: Attempt;
    readonly outcome: ConsumerOutcome;
    readonly source: ClosedSource;
    readonly reason: ReasonCode | undefined;
    /** The provider's refusal or closing, or what came before the exchange ended. */
    readonly receipt: CheckedProof | undefined;
    readonly nextAttempt: number;
  }): void {
    const { attempt, outcome, source, receipt, nextAttempt } = options;
    const failure = this.failure ?? statusOf(options.reason ?? "INTERNAL");
    this.failure = failure;
    // What came before the exchange ended may be a receipt.
    const reason = recordedReason(receipt?.record);
    const record = encodeConsumerClosed({
      name: attempt.name,
      outcome,
      refusal:
        outcome === "refused" && receipt !== undefined && reason !== undefined
          ? { leafHash: receipt.leafHash, position: receipt.position }
          : undefined,
      reason: options.reason ?? reason,
      source,
      status: { frame: encodeMessage(StatusFrameSchema, failure), seed: attempt.seed },
      nextAttempt,
      prevRecord: this.#prevRecord,
      frames: this.#handedOver,
    });
    const states = this.#o.known.closing(attempt.key, this.#o.ports.clock.nowMs());
    this.#seal(record, attempt, states, () => {
      attempt.carriage.close();
      this.#hears.closed(outcome, failure.code);
      if (nextAttempt > 0) this.failure = undefined;
    });
  }

  #seal(
    record: Uint8Array,
    attempt: Attempt,
    states: readonly StateChange[],
    durable: (sealed: SealedRecord) => void,
  ): void {
    const { known, ports } = this.#o;
    const decidedAtMs = ports.clock.nowMs();
    ports.sealer.seal({ kind: "evidence", record, decidedAtMs, states }).then(
      (sealed) => {
        known.sealed(states);
        if (sealed !== undefined) durable(sealed);
        this.#hears.step({ kind: "sealed" });
      },
      (error: unknown) => {
        known.notSealed(attempt.key, states, attempt.name);
        const reason = error instanceof CausewayError ? error.code : "INTERNAL";
        this.failure = statusOf(reason);
        this.#hears.step({ kind: "seal-failed", reason });
      },
    );
  }
}

/** Tells the provider of an acknowledgement. */
export function acknowledgementOf(sealed: SealedRecord): ReturnType<typeof acknowledgementFrame> {
  return acknowledgementFrame(proofOf(sealed));
}
