/** One call of an agency system on its way: executes the effects of the consumer's machine. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf, createUuidV7 } from "../base/ids.ts";
import { isReasonCode, type ReasonCode } from "../base/reasons.ts";
import { defaultBounds } from "../credential/statements.ts";
import { commitUnderSeed } from "../crypto/commitments.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame, Frame, RefusedFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { SealedRecord } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import { exchangeTrailers, withoutReserved } from "./call-metadata.ts";
import { type Attempt, commitToCall, type ExchangeOptions, sentCall } from "./consumer-attempt.ts";
import {
  type CheckResult,
  type ConsumerEffect,
  type ConsumerEvent,
  type ConsumerOutcome,
  type ConsumerState,
  initialConsumerState,
  reasonOfCheck,
  stepConsumer,
} from "./consumer-machine.ts";
import { encodeAcknowledgement, encodeConsumerClosed } from "./consumer-records.ts";
import { acknowledgementFrame, callFrame, cancelFrame, proofOf } from "./frames.ts";
import type { LinkEnd } from "./ports.ts";
import { type CheckedProof, checkProof, checkSeen } from "./proof-check.ts";
import {
  awaitProof,
  type ProofContext,
  readOpened,
  recordedReason,
  refusalReason,
  statedReason,
} from "./received-proof.ts";
import { checkReceipt, receivedResponse } from "./receipt-check.ts";
import { statusOf } from "./status.ts";
import { attemptKey } from "./used-attempts.ts";

export class ConsumerExchange {
  readonly #o: ExchangeOptions;
  readonly #xid: Uint8Array;
  readonly #startedMs: number;
  #state: ConsumerState;
  #attempt: Attempt | undefined;
  #cancelDeadline: (() => void) | undefined;
  #answer: AnswerFrame | undefined;
  #receipt: CheckedProof | undefined;
  /** What the caller gets when the exchange fails. */
  #failure: StatusFrame | undefined;
  #stopWaiting: (() => void) | undefined;

  constructor(options: ExchangeOptions) {
    const { clock, random } = options.ports;
    this.#o = options;
    this.#state = initialConsumerState(options.resolved.method.writes);
    this.#startedMs = clock.monotonicMs();
    // Whole seconds only: the ledger shows no finer time of a call than its batch.
    this.#xid = createUuidV7(Math.floor(clock.nowMs() / 1000) * 1000, random(10));
  }

  start(): void {
    const { incoming, ports } = this.#o;
    incoming.onCancelled(() => this.#step({ kind: "interrupted", by: "cancelled" }));
    if (incoming.timeoutMs !== undefined) {
      this.#cancelDeadline = ports.scheduler.after(incoming.timeoutMs, () =>
        this.#step({ kind: "interrupted", by: "deadline" }),
      );
    }
    this.#execute({ kind: "connect" });
  }

  onFrame({ body }: Frame): void {
    if (body.case === "answer") {
      if (this.#state.phase !== "called") return;
      this.#answer = body.value;
      this.#step({ kind: "answer" });
    } else if (body.case === "refused") {
      if (this.#state.phase !== "called") return;
      this.#onRefused(body.value);
    } else if (body.case === "nonceStale") {
      if (this.#state.phase !== "called") return;
      this.#attempt?.link.renewBoot(body.value.boot);
      this.#failure = statusOf("NONCE_STALE");
      this.#step({ kind: "nonce-stale" });
    } else if (body.case === "failed") {
      const reason = isReasonCode(body.value.reason) ? body.value.reason : "INTERNAL";
      this.#step({ kind: "failed", reason });
    }
  }

  onLinkLost(): void {
    this.#step({ kind: "link-lost" });
  }

  #step(event: ConsumerEvent): void {
    const { state, effects } = stepConsumer(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#execute(effect);
  }

  #execute(effect: ConsumerEffect): void {
    switch (effect.kind) {
      case "connect":
        return this.#connect();
      case "call":
        return this.#call();
      case "check-answer":
        return void this.#checkAnswer().catch((error: unknown) => this.#internalError(error));
      case "send-cancel":
        return this.#attempt?.link.send(this.#attempt.number, cancelFrame());
      case "seal-acknowledgement":
        return this.#sealAcknowledgement(effect.result);
      case "seal-closed":
        return this.#sealClosed(effect);
      case "hand-over":
        return this.#handOver();
      case "fail":
        return this.#fail(effect.reason);
      case "forget":
        this.#release();
        this.#cancelDeadline?.();
        this.#stopWaiting?.();
        this.#o.done();
    }
  }

  // Connecting and calling.

  #connect(): void {
    const { ports, resolved } = this.#o;
    const view = ports.replica.view();
    const provider = agencyOf(resolved.service.id);
    const gateways = [...ports.replica.state().gateways.keys()]
      .filter((id) => agencyOf(id) === provider && view.gateway(id) !== undefined)
      .toSorted();
    ports.connect(gateways).then(
      (link) => this.#sign(link),
      (error: unknown) => {
        const reason = error instanceof CausewayError ? error.code : "INTERNAL";
        this.#step({ kind: "not-connected", reason });
      },
    );
  }

  /** Signs the statement of this attempt with all others of this turn, then calls. */
  #sign(link: LinkEnd): void {
    if (this.#state.phase !== "connecting") return;
    // Nobody would hear of its loss again.
    if (link.lost) return this.#connect();
    this.#answer = undefined;
    this.#receipt = undefined;
    const { attempt } = this.#state;
    const committed = commitToCall({ ...this.#o, xid: this.#xid, attempt });
    const exchanges = this.#o.exchangesOf(link);
    exchanges.batcher.add(committed.statement, (issued) => {
      if (this.#state.phase !== "connecting") return;
      if (link.lost) return this.#connect();
      const { tokenDigest, call } = issued;
      const name = { xid: this.#xid, attempt, tokenDigest, index: call.index };
      const key = attemptKey(tokenDigest, call.index);
      const number = exchanges.add(this);
      this.#attempt = { link, exchanges, number, issued, name, key, ...committed };
      this.#step({ kind: "connected" });
    });
  }

  #call(): void {
    const { headers, message, incoming, known, ports } = this.#o;
    const attempt = this.#attempt as Attempt;
    known.opened(attempt.key);
    const elapsedMs = Math.round(ports.clock.monotonicMs() - this.#startedMs);
    const timeoutMs =
      incoming.timeoutMs === undefined ? 0 : Math.max(1, incoming.timeoutMs - elapsedMs);
    const { call } = attempt.issued;
    attempt.link.send(
      attempt.number,
      callFrame({ call, headers, message, timeoutMs, openings: attempt.openings }),
    );
    const items = attempt.openings.map((item) =>
      item.label === "request" ? { ...item, value: transcriptOf(headers, [message]) } : item,
    );
    const { seed, name } = attempt;
    const xid = this.#xid;
    ports.openings.put({ xid, attempt: name.attempt, side: "consumer", seed, items });
  }

  // What came back.

  async #checkAnswer(): Promise<void> {
    const attempt = this.#attempt as Attempt;
    const answer = this.#answer as AnswerFrame;
    const context = this.#context(attempt);
    const cancelBound = this.#boundWait();
    const checked = await awaitProof(answer.proof, context, () => this.#nextFinal());
    cancelBound();
    if (checked.kind === "interrupted") return;
    if (checked.kind === "invalid" || checked.proof.record.body.case !== "receipt") {
      return this.#step({ kind: "proof-invalid" });
    }
    const { proof } = checked;
    this.#receipt = proof;
    const { clock, held, replica } = this.#o.ports;
    if (checked.kind === "key-unknown")
      return this.#step({ kind: "checked", result: "key-unknown" });
    const opened = readOpened(answer.opened, context);
    held.add(answer.proof, opened && answer.opened);
    if (checkSeen(proof.header, replica, attempt.link) === "fork") {
      return this.#step({ kind: "checked", result: "seen-fork" });
    }
    const result = checkReceipt({
      answer,
      receipt: checked.proof.record.body.value,
      header: proof.header,
      sent: sentCall(attempt, this.#o),
      opened,
      replica,
      nowMs: clock.nowMs(),
    });
    this.#step({ kind: "checked", result });
  }

  #context({ link }: Attempt): ProofContext {
    return { link, replica: this.#o.ports.replica, leaves: this.#o.leaves };
  }

  /** Resolves after the next final checkpoint; `false` when this exchange has ended meanwhile. */
  #nextFinal(): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (): void => {
        stop();
        this.#stopWaiting = undefined;
        resolve(this.#state.phase === "checking");
      };
      const stop = this.#o.ports.replica.onFinal(finish);
      this.#stopWaiting = finish;
    });
  }

  /** What is sealed is final within the inclusion bound: a call without a deadline waits no longer than that. */
  #boundWait(): () => void {
    const { replica, scheduler } = this.#o.ports;
    const bounds = replica.view().network?.bounds ?? defaultBounds;
    return scheduler.after(bounds.inclusion_bound_s * 1000, () =>
      this.#step({ kind: "interrupted", by: "deadline" }),
    );
  }

  /** A refusal or closing of the provider: its record says the reason, not the frame. */
  #onRefused(frame: RefusedFrame): void {
    const attempt = this.#attempt as Attempt;
    const context = this.#context(attempt);
    if (frame.proof === undefined) return this.#refusedWith(statedReason(frame.status), false);
    const checked = checkProof(frame.proof, attempt.link.peer, context.replica, context.leaves);
    const opened = readOpened(frame.opened, context);
    const { call } = attempt.issued;
    const reason =
      checked.kind === "valid"
        ? refusalReason(checked.proof, opened, { call, gateway: this.#o.ports.self.gateway })
        : undefined;
    if (checked.kind !== "valid" || reason === undefined)
      return this.#refusedWith(undefined, false);
    this.#receipt = checked.proof;
    this.#o.ports.held.add(frame.proof, opened && frame.opened);
    const { body } = checked.proof.record;
    const called = (body.case === "refusal" || body.case === "closed") && body.value.upstreamCalled;
    this.#refusedWith(reason, called);
  }

  /** Nothing of a refusal but its reason is handed on: no receipt covers what else it may hold. */
  #refusedWith(reason: ReasonCode | undefined, upstreamCalled: boolean): void {
    if (reason === undefined) return this.#step({ kind: "proof-invalid" });
    this.#failure = statusOf(reason, upstreamCalled ? { upstream_called: "true" } : {});
    this.#step({ kind: "refused" });
  }

  // Sealing and handing over.

  #sealAcknowledgement(result: CheckResult): void {
    const attempt = this.#attempt as Attempt;
    const answer = this.#answer as AnswerFrame;
    const receipt = this.#receipt as CheckedProof;
    if (result !== "match") this.#failure = statusOf(reasonOfCheck(result));
    const own = commitUnderSeed({
      seed: attempt.seed,
      label: "response",
      value: transcriptOf(answer.headers, answer.messages),
    });
    const record = encodeAcknowledgement({
      name: attempt.name,
      receipt: { leafHash: receipt.leafHash, position: receipt.position },
      receiptRecord: receipt.recordHash,
      requestCommitment: attempt.request.commitment,
      responseCommitment: receivedResponse(answer) ?? own.commitment,
      messages: answer.messages,
      result,
      callerSystem: this.#o.system.id,
      localRule: "system",
    });
    this.#seal(record, attempt, (sealed) => {
      this.#o.ports.sent.add(attempt.link.peer, sealed);
      attempt.link.send(attempt.number, acknowledgementFrame(proofOf(sealed)));
    });
  }

  #sealClosed(effect: {
    outcome: ConsumerOutcome;
    reason: ReasonCode | undefined;
    nextAttempt: number;
  }): void {
    const attempt = this.#attempt as Attempt;
    const { outcome, nextAttempt } = effect;
    const failure = (this.#failure ??= statusOf(effect.reason ?? "INTERNAL"));
    const receipt = this.#receipt;
    const sourceOf: Readonly<Record<ConsumerOutcome, "gateway" | "peer" | "caller">> = {
      refused: "peer",
      "gateway-error": "peer",
      "no-answer": "gateway",
      "proof-invalid": "gateway",
      cancelled: "caller",
      deadline: "caller",
    };
    const record = encodeConsumerClosed({
      name: attempt.name,
      outcome,
      refusal:
        outcome === "refused" && receipt !== undefined
          ? { leafHash: receipt.leafHash, position: receipt.position }
          : undefined,
      reason: effect.reason ?? recordedReason(receipt?.record),
      source: sourceOf[outcome],
      status: { frame: toBinary(StatusFrameSchema, failure), seed: attempt.seed },
      nextAttempt,
    });
    this.#seal(record, attempt, () => {
      this.#release();
      if (nextAttempt > 0) this.#failure = undefined;
    });
  }

  #seal(record: Uint8Array, attempt: Attempt, durable: (sealed: SealedRecord) => void): void {
    const { known, ports } = this.#o;
    const states = known.closing(attempt.key);
    const decidedAtMs = ports.clock.nowMs();
    ports.sealer.seal({ kind: "evidence", record, decidedAtMs, states }).then(
      (sealed) => {
        if (sealed !== undefined) durable(sealed);
        this.#step({ kind: "sealed" });
      },
      (error: unknown) => {
        known.notSealed(attempt.key, states, attempt.name);
        const reason = error instanceof CausewayError ? error.code : "INTERNAL";
        this.#failure = statusOf(reason);
        this.#step({ kind: "seal-failed", reason });
      },
    );
  }

  #handOver(): void {
    const { incoming, ports } = this.#o;
    const answer = this.#answer as AnswerFrame;
    const receipt = this.#receipt as CheckedProof;
    const status = fromBinary(StatusFrameSchema, answer.status);
    const handle = formatHandle(receipt.leafHash, receipt.position);
    const trailers = exchangeTrailers(status.trailers, this.#xid, handle);
    const headers = withoutReserved(fromBinary(MetadataSchema, answer.headers));
    incoming.answer(headers, answer.messages, create(StatusFrameSchema, { ...status, trailers }));
    this.#ended("acknowledged", status.code, ports);
  }

  #fail(reason: ReasonCode | undefined): void {
    const status = this.#failure ?? statusOf(reason ?? "INTERNAL");
    const receipt = this.#receipt;
    const handle =
      receipt === undefined ? undefined : formatHandle(receipt.leafHash, receipt.position);
    const trailers = exchangeTrailers(status.trailers, this.#xid, handle);
    this.#o.incoming.end(create(StatusFrameSchema, { ...status, trailers }));
    this.#ended(reason ?? "failed", status.code, this.#o.ports);
  }

  #ended(outcome: string, grpcCode: number, { clock, events }: ExchangeOptions["ports"]): void {
    const durationMs = clock.monotonicMs() - this.#startedMs;
    events.exchangeEnded({ side: "consumer", outcome, grpcCode, durationMs });
  }

  #release(): void {
    this.#attempt?.exchanges.remove(this.#attempt.number);
  }

  #internalError(error: unknown): void {
    this.#o.ports.events.internalError({ error, errorId: toHex(this.#o.ports.random(8)) });
    this.#step({ kind: "proof-invalid" });
  }
}
