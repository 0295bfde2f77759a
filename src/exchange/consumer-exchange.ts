/** One call of an agency system on its way: executes the effects of the consumer's machine. */
import { toHex } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf, createUuidV7 } from "../base/ids.ts";
import { linkRequestBytesMax } from "../base/limits.ts";
import { isReasonCode, type ReasonCode, reason as reasonOf } from "../base/reasons.ts";
import { defaultBounds } from "../credential/statements.ts";
import { StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame, RefusedFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { formatHandle } from "../record/handle.ts";
import { type Arrival, Arrivals } from "./arrivals.ts";
import { standOfCall } from "./called-foundations.ts";
import { exchangeTrailers } from "./call-metadata.ts";
import {
  type Attempt,
  commitToCall,
  type ExchangeOptions,
  frameOfCall,
  openingsOfCall,
} from "./consumer-attempt.ts";
import {
  type ConsumerEffect,
  type ConsumerEvent,
  type ConsumerState,
  initialConsumerState,
  stepConsumer,
} from "./consumer-machine.ts";
import { ConsumerRequest } from "./consumer-request.ts";
import { ConsumerSealing } from "./consumer-sealing.ts";
import { ExchangeTrace } from "./exchange-trace.ts";
import { cancelFrame } from "./frames.ts";
import { handOver } from "./hand-over.ts";
import type { CarriageListener, FrameBody, LinkEnd } from "./ports.ts";
import type { CheckedProof } from "./proof-check.ts";
import { gatewaysOf } from "./provider-gateways.ts";
import { awaitProof, awaitRefusal, type ProofContext, statusOfRefusal } from "./received-proof.ts";
import { ReceivedAnswer } from "./received-answer.ts";
import { ReplicaWait } from "./replica-wait.ts";
import { checkSegment, reasonOfCheck } from "./segment-check.ts";
import { statusOf } from "./status.ts";
import { attemptKey } from "./used-attempts.ts";

export class ConsumerExchange implements CarriageListener {
  readonly #o: ExchangeOptions;
  readonly #xid: Uint8Array;
  readonly #trace: ExchangeTrace;
  readonly #sealing: ConsumerSealing;
  readonly #wait: ReplicaWait;
  /** Of an open call. */
  readonly #request: ConsumerRequest | undefined;
  #state: ConsumerState;
  #attempt: Attempt | undefined;
  /** Of the attempt. */
  #arrivals = new Arrivals(0);
  #cancelDeadline: (() => void) | undefined;
  #answer: AnswerFrame | undefined;
  #refusal: RefusedFrame | undefined;
  #receipt: CheckedProof | undefined;
  /** Why the call is denied. */
  #refused: ReasonCode | undefined;

  constructor(options: ExchangeOptions) {
    const { clock, random } = options.ports;
    this.#o = options;
    this.#wait = new ReplicaWait({
      ports: options.ports,
      isOn: () => this.#state.phase === "checking",
      late: (neededSize) => this.#behind(neededSize),
    });
    this.#state = initialConsumerState(options.resolved.method.writes);
    this.#sealing = new ConsumerSealing({
      exchange: options,
      step: (event) => this.#step(event),
      acknowledged: (messages, final) => this.#trace.sealed(messages, final),
      closed: (outcome, code) => this.#trace.attemptEnded(outcome, code),
    });
    if (options.message === undefined) {
      this.#request = new ConsumerRequest(options.incoming, options.headers, (error) =>
        this.#requestFailed(error),
      );
    }
    // Whole seconds only: the ledger shows no finer time of a call than its batch.
    this.#xid = createUuidV7(Math.floor(clock.nowMs() / 1000) * 1000, random(10));
    this.#trace = new ExchangeTrace(options, this.#xid);
  }

  start(): void {
    const { incoming, ports } = this.#o;
    if (incoming.timeoutMs !== undefined) {
      this.#cancelDeadline = ports.scheduler.after(incoming.timeoutMs, () =>
        this.#step({ kind: "interrupted", by: "deadline" }),
      );
    }
    // A caller that has gone already is told of at once.
    incoming.onCancelled(() => this.#step({ kind: "interrupted", by: "cancelled" }));
    if (this.#state.phase === "connecting") this.#execute({ kind: "connect" });
  }

  /** Something was taken away, or its time is over: a call that rests on it ends. */
  recheck(link: LinkEnd | undefined = this.#link): void {
    const { ports, resolved } = this.#o;
    const { taken: reason, endsAtS } = standOfCall(resolved, link?.peer, ports);
    if (reason !== undefined) this.#step({ kind: "taken", reason });
    else this.#o.standsUntil(endsAtS);
  }

  /** To the gateway that is called. */
  get #link(): LinkEnd | undefined {
    return this.#state.phase === "connecting" ? undefined : this.#attempt?.link;
  }

  onFrame(body: FrameBody): void {
    if (body.case === "credit") {
      const { messages, bytes } = body.value;
      this.#request?.credit(Number(bytes));
      // A receipt that came before may cover less than what is taken by now.
      return this.#arrive({ case: "taken", messages: Number(messages) });
    }
    this.#arrive(body);
  }

  onLost(unopened?: ReasonCode): void {
    this.#arrive(
      unopened === undefined ? { case: "lost" } : { case: "unopened", reason: unopened },
    );
  }

  #step(event: ConsumerEvent): void {
    const { state, effects } = stepConsumer(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#execute(effect);
    this.#next();
  }

  #execute(effect: ConsumerEffect): void {
    switch (effect.kind) {
      case "connect":
        return this.#connect();
      case "call":
        return this.#call();
      case "check-answer":
        return void this.#checkAnswer().catch((error: unknown) => this.#internalError(error));
      case "check-refusal":
        return void this.#checkRefusal().catch((error: unknown) => this.#internalError(error));
      case "send-cancel":
        // Nothing of the request follows, however long it takes to close the attempt.
        this.#request?.hold();
        return this.#attempt?.carriage.send(cancelFrame());
      case "seal-acknowledgement":
        return this.#acknowledge(effect);
      case "seal-closed":
        return this.#sealing.close({
          ...effect,
          attempt: this.#attempt as Attempt,
          receipt: this.#receipt,
        });
      case "hand-over":
        return void this.#handOver(effect.last).catch((error: unknown) => this.#notHanded(error));
      case "fail":
        return this.#fail(effect.reason);
      case "refuse":
        this.#refused = effect.reason;
        return this.#trace.ended(effect.reason, reasonOf(effect.reason).grpcCode);
      case "forget":
        this.#request?.end();
        this.#attempt?.carriage.close();
        this.#cancelDeadline?.();
        this.#wait.end();
        this.#o.done(this.#refused);
    }
  }

  // What comes from the provider, one after the other.

  #arrive(arrival: Arrival): void {
    if (this.#state.phase === "ended") return;
    if (this.#arrivals.push(arrival) === "too-many") {
      this.#attempt?.carriage.send(cancelFrame());
      this.#attempt?.carriage.close();
    }
    this.#next();
  }

  #next(): void {
    while (this.#state.phase === "called") {
      // The next segment is checked while the caller takes one; an end waits until it has all.
      const arrival = this.#arrivals.shift(this.#state.handing);
      if (arrival === undefined) return;
      this.#arrived(arrival, this.#request?.replayable ?? true);
    }
  }

  #arrived(body: Arrival, replayable: boolean): void {
    switch (body.case) {
      case "taken":
        return this.#request?.taken(body.messages);
      case "lost":
        this.#request?.hold();
        return this.#step({ kind: "link-lost", replayable });
      case "unopened":
        return this.#step({ kind: "unopened", reason: body.reason });
      case "answer":
        this.#answer = body.value;
        this.#request?.answered();
        return this.#step({ kind: "answer" });
      case "refused":
        this.#refusal = body.value;
        return this.#step({ kind: "refusal" });
      case "nonceStale":
        this.#attempt?.link.renewBoot(body.value.boot);
        this.#request?.hold();
        this.#sealing.failure = statusOf("NONCE_STALE");
        return this.#step({ kind: "nonce-stale", replayable });
      case "failed": {
        const reason = isReasonCode(body.value.reason) ? body.value.reason : "INTERNAL";
        return this.#step({ kind: "failed", reason });
      }
      default:
        return undefined;
    }
  }

  /** The caller's request broke off: by its own fault, unless it just went away. */
  #requestFailed(error: unknown): void {
    if (!(error instanceof CausewayError)) return this.#internalError(error);
    const reason = error.code;
    if (reason !== "CANCELLED") this.#sealing.failure = statusOf(reason);
    this.#step({ kind: "interrupted", by: "cancelled", reason });
  }

  // Connecting and calling.

  #connect(): void {
    const { ports, resolved } = this.#o;
    const gateways = gatewaysOf(agencyOf(resolved.service.id), ports.replica);
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
    // It was resolved by what is final, and to read and to connect may have taken long.
    this.recheck(link);
    if (this.#state.phase !== "connecting") return;
    this.#answer = undefined;
    this.#receipt = undefined;
    this.#sealing.begin();
    const { message, ports } = this.#o;
    const { window_segments } = ports.replica.view().network?.bounds ?? defaultBounds;
    this.#arrivals = new Arrivals(window_segments);
    const { attempt } = this.#state;
    const committed = commitToCall({ ...this.#o, xid: this.#xid, attempt });
    const exchanges = this.#o.exchangesOf(link);
    exchanges.batcher.add(committed.statement, (issued) => {
      if (this.#state.phase !== "connecting") return;
      if (link.lost) return this.#connect();
      const { tokenDigest, call } = issued;
      const name = { xid: this.#xid, attempt, tokenDigest, index: call.index };
      const key = attemptKey(tokenDigest, call.index);
      const shares = message !== undefined && message.length <= linkRequestBytesMax;
      // An earlier attempt hears nothing any more: what carried it was closed once its closing was durable.
      const carriage = shares ? exchanges.open(this) : ports.openStream(link, this);
      const received = new ReceivedAnswer();
      this.#attempt = { link, carriage, shares, received, issued, name, key, ...committed };
      this.#step({ kind: "connected" });
    });
  }

  #call(): void {
    const { headers, message, known, ports } = this.#o;
    const attempt = this.#attempt as Attempt;
    known.opened(attempt.key);
    const { elapsedMs } = this.#trace;
    const trace = this.#trace.attempt(attempt.name.attempt, attempt.link.peer);
    attempt.carriage.send(frameOfCall(attempt, this.#o, { elapsedMs, trace }));
    this.#request?.sendOn(attempt.carriage);
    ports.openings.put(openingsOfCall(attempt, headers, message));
  }

  // What came back.

  async #checkAnswer(): Promise<void> {
    const attempt = this.#attempt as Attempt;
    const answer = this.#answer as AnswerFrame;
    const context = this.#context(attempt);
    const checked = await this.#wait.during((nextFinal) =>
      awaitProof(answer.proof, context, nextFinal),
    );
    if (checked.kind === "interrupted" || this.#state.phase !== "checking") return;
    if (checked.kind === "invalid" || checked.proof.record.body.case !== "receipt") {
      return this.#step({ kind: "proof-invalid" });
    }
    const receipt = checked.proof.record.body.value;
    this.#receipt = checked.proof;
    const own = { attempt, request: this.#request, context, options: this.#o };
    const { result, shown } = checkSegment({ ...own, answer, receipt, checked });
    this.#o.ports.held.add(...shown);
    this.#step({ kind: "checked", result, final: receipt.final });
  }

  #behind(needed: bigint): void {
    this.#sealing.failure = statusOf("LEDGER_BEHIND", { size: String(needed) });
    this.#step({ kind: "ledger-behind" });
  }

  #context({ link }: Attempt): ProofContext {
    return { link, replica: this.#o.ports.replica, leaves: this.#o.leaves };
  }

  /** A refusal or closing of the provider: its record says the reason, not the frame. */
  async #checkRefusal(): Promise<void> {
    const attempt = this.#attempt as Attempt;
    const frame = this.#refusal as RefusedFrame;
    const { gateway } = this.#o.ports.self;
    const own = { call: attempt.issued.call, gateway, previous: attempt.received.previous };
    const refusal = await this.#wait.during((nextFinal) =>
      awaitRefusal(frame, this.#context(attempt), own, nextFinal),
    );
    if (this.#state.phase !== "checking") return;
    if (refusal === undefined) return this.#step({ kind: "proof-invalid" });
    this.#receipt = refusal.proof;
    this.#o.ports.held.add(...refusal.shown);
    this.#sealing.failure = statusOfRefusal(refusal);
    this.#step({ kind: "refused" });
  }

  // Sealing and handing over.

  #acknowledge({ result, final }: Extract<ConsumerEffect, { kind: "seal-acknowledgement" }>): void {
    if (result !== "match") this.#sealing.failure = statusOf(reasonOfCheck(result));
    this.#sealing.acknowledge({
      attempt: this.#attempt as Attempt,
      request: this.#request,
      answer: this.#answer as AnswerFrame,
      receipt: this.#receipt as CheckedProof,
      result,
      final,
    });
  }

  /** The trailers that say where the evidence of the exchange is. */
  #trailers(received: Parameters<typeof exchangeTrailers>[0]): ReturnType<typeof exchangeTrailers> {
    const receipt = this.#receipt;
    const handle = receipt && formatHandle(receipt.leafHash, receipt.position);
    return exchangeTrailers(received, this.#xid, handle);
  }

  async #handOver(last: boolean): Promise<void> {
    const { incoming, message } = this.#o;
    const { carriage, received } = this.#attempt as Attempt;
    const isFirst = received.segment === 1;
    const answer = this.#answer as AnswerFrame;
    const code = await handOver(incoming, answer, {
      isFirst,
      isWhole: message !== undefined && last && isFirst,
      trailers: last ? (received) => this.#trailers(received) : undefined,
      taken: () => this.#sealing.handedOver(),
      left: () => carriage.taken?.(answer),
    });
    if (code !== undefined) this.#trace.ended("acknowledged", code);
    else this.#step({ kind: "handed-over" });
  }

  #fail(reason: ReasonCode | undefined): void {
    const status = this.#sealing.failure ?? statusOf(reason ?? "INTERNAL");
    const trailers = this.#trailers(status.trailers);
    this.#o.incoming.end(createMessage(StatusFrameSchema, { ...status, trailers }));
    this.#trace.ended(reason ?? "failed", status.code);
  }

  #internalError(error: unknown): void {
    this.#report(error);
    // What the provider sent may be no message at all; any other error is none of its doing.
    this.#step({ kind: error instanceof CausewayError ? "proof-invalid" : "broken" });
  }

  #notHanded(error: unknown): void {
    this.#report(error);
    if (this.#state.phase === "ended") this.#o.incoming.end(statusOf("INTERNAL"));
    else this.#step({ kind: "not-handed-over", reason: "INTERNAL" });
  }

  #report(error: unknown): void {
    this.#o.ports.events.internalError({ error, errorId: toHex(this.#o.ports.random(8)) });
  }
}
