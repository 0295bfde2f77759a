/** One attempt at the provider's gateway: executes the effects of the provider's machine. */
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import { requestCreditBytes, timerMsMax } from "../base/limits.ts";
import { type ReasonCode, reason } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import { StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { CallStatement, Obligations } from "../gen/causeway/record/v1/parts_pb.ts";
import { type AnswerMask, answerFilter } from "./answer-mask.ts";
import { boundsOf, maskOf } from "./answer-limits.ts";
import { AnswerSegments } from "./answer-segments.ts";
import {
  answerFrame,
  creditFrame,
  failedFrame,
  nonceStaleFrame,
  proofOf,
  refusedFrame,
} from "./frames.ts";
import type { Denial } from "./judged-records.ts";
import { AttemptTrace } from "./attempt-trace.ts";
import { type Credit, creditOf, OpenRequest } from "./open-request.ts";
import type { CarriageListener, FrameBody } from "./ports.ts";
import { ProviderAttemptRecords } from "./provider-attempt-records.ts";
import { judgeCall, type Judged } from "./provider-judge.ts";
import {
  initialProviderState,
  type Interruption,
  type ProviderEffect,
  type ProviderEvent,
  type ProviderState,
  stepProvider,
} from "./provider-machine.ts";
import type { AttemptOptions } from "./provider-ports.ts";
import type { DenialStage } from "./provider-records.ts";
import { ProviderSealing } from "./provider-sealing.ts";
import { SegmentPace } from "./segment-pace.ts";
import { callOfUpstream, type UpstreamRun, type UpstreamRunOptions } from "./upstream-run.ts";
import { isStreaming } from "./resolve-call.ts";

export class ProviderAttempt implements CarriageListener {
  readonly #o: AttemptOptions;
  readonly #trace: AttemptTrace;
  readonly #timeoutMs: number | undefined;
  readonly #abort = new AbortController();
  readonly #judged: Judged;
  readonly #records: ProviderAttemptRecords;
  readonly #sealing: ProviderSealing;
  #state: ProviderState = initialProviderState;
  #cancelDeadline: (() => void) | undefined;
  #denial: Denial | undefined;
  /** Of an open call. */
  #request: OpenRequest | undefined;
  #segments: AnswerSegments | undefined;
  #upstream: UpstreamRun | undefined;
  readonly #pace: SegmentPace;
  /** The upstream is at work: a batch may wait for the receipt. */
  #arrived: (() => void) | undefined;
  /** Messages of the request that the upstream has taken and the consumer is not told of. */
  #untold = 0;

  constructor(options: AttemptOptions) {
    const { clock, random, scheduler } = options.ports;
    const { carriage, frame } = options;
    this.#o = options;
    this.#judged = options.judged;
    const { link } = carriage;
    this.#records = new ProviderAttemptRecords({
      judged: this.#judged,
      frame,
      link,
      seed: random(32),
      nowMs: () => clock.nowMs(),
    });
    this.#sealing = new ProviderSealing({
      attempt: options,
      judged: this.#judged,
      records: this.#records,
      signal: this.#abort.signal,
      state: () => this.#state,
      step: (event) => this.#step(event),
      report: (error) => this.#report(error),
    });
    this.#pace = new SegmentPace({
      clock,
      scheduler,
      defer: (work) => options.ports.defer(work),
      cut: () => {
        // A receipt that was begun meanwhile has taken it.
        if (this.#segments?.empty === false) this.#step({ kind: "progressed" });
      },
    });
    this.#trace = new AttemptTrace(options);
    // A peer may say more than a timer takes.
    if (frame.timeoutMs > 0n) this.#timeoutMs = Math.min(Number(frame.timeoutMs), timerMsMax);
  }

  start(): void {
    const { carriage, frame, ports, requestBytesMax, used } = this.#o;
    if (!this.#o.hasRoom) return this.#denied("limit", "BUSY");
    const { link } = carriage;
    if (this.#timeoutMs !== undefined) {
      const work = (): void => this.interrupt("deadline");
      this.#cancelDeadline = ports.scheduler.after(this.#timeoutMs, work);
    }
    const { signal } = this.#abort;
    const judged = this.#judged;
    judgeCall({ ports, used, link, frame, judged, requestBytesMax, signal }).then(
      (judgement) => {
        // The call may have ended while it was judged.
        if (this.#state.phase !== "judging") return;
        switch (judgement.kind) {
          case "permitted":
            return this.#permitted();
          case "denied":
            return this.#denied(judgement.stage, judgement.reason);
          case "nonce-stale":
            this.#send(nonceStaleFrame(ports.self.boot));
            return this.#step({ kind: "turned-away" });
          case "turned-away":
            this.#send(failedFrame(judgement.reason));
            return this.#step({ kind: "turned-away" });
        }
      },
      (error: unknown) => {
        this.#report(error);
        if (this.#state.phase === "judging") this.#send(failedFrame("INTERNAL"));
        this.#step({ kind: "turned-away" });
      },
    );
  }

  interrupt(by: Interruption): void {
    this.#step({ kind: "interrupted", by });
  }

  onLost(): void {
    this.interrupt("peer-lost");
  }

  /** Something was taken away, or its time is over: an attempt that rests on it ends, before there is anything to seal of it. */
  recheck(): void {
    const { phase } = this.#state;
    if (phase !== "opening" && phase !== "calling") return;
    const { taken: reason, endsAtS } = this.#sealing.stand();
    if (reason !== undefined) this.#step({ kind: "taken", reason });
    else this.#o.standsUntil(endsAtS);
  }

  onFrame(body: FrameBody): void {
    switch (body.case) {
      case "cancel":
        return this.interrupt("cancelled");
      case "acknowledgement":
        return this.#o.acknowledged(body.value.proof);
      case "request":
        return this.#mayStream() ? this.#requested(body.value.message) : undefined;
      case "halfClose":
        return this.#mayStream() ? this.#openRequest().halfClose() : undefined;
      default:
        return undefined;
    }
  }

  #step(event: ProviderEvent): void {
    const { state, effects } = stepProvider(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#execute(effect);
    // What is to be sealed of the answer is queued by now, or there will be nothing.
    if (this.#state.sealing !== undefined || this.#state.phase !== "calling") this.#arrived?.();
  }

  #execute(effect: ProviderEffect): void {
    switch (effect.kind) {
      case "seal-opened":
        return this.#sealing.sealOpened();
      case "call-upstream":
        return this.#callUpstream();
      case "cancel-upstream":
        return this.#abort.abort();
      case "seal-receipt":
        return this.#sealReceipt();
      case "seal-refusal":
        return this.#sealing.sealRefusal(this.#denialOf(effect.reason));
      case "seal-closed":
        return this.#sealing.sealClosed(effect.outcome, effect.reason);
      case "seal-taken":
        return this.#sealing.sealTaken();
      case "release":
        return this.#release();
      case "send-failed":
        this.#send(failedFrame(effect.reason));
        return this.#trace.ended(effect.reason, reason(effect.reason).grpcCode);
      case "forget":
        this.#cancelDeadline?.();
        this.#pace.end();
        // Without a reason each abort makes an exception, with its stack.
        this.#abort.abort("ended");
        this.#judged.reservation?.end(this.#sealing.receipted);
        this.#o.done();
    }
  }

  #permitted(): void {
    const { obligations, method } = this.#judged;
    const { window } = obligations as Obligations;
    const { writes } = method as ServiceMethod;
    const streaming = isStreaming(method as ServiceMethod);
    this.#trace.permitted(this.#judged);
    if (!streaming) this.#request = undefined;
    this.#step({ kind: "permitted", writes, streaming, window: Math.max(1, window) });
    // It was decided by what is final: there may be nothing to seal for long.
    this.recheck();
  }

  #denied(stage: DenialStage, reason: ReasonCode): void {
    this.#denial = { stage, reason };
    this.#o.ports.events.refused({ side: "provider", reason });
    this.#step({ kind: "denied" });
  }

  #denialOf(reason: ReasonCode | undefined): Denial {
    return reason === undefined ? (this.#denial as Denial) : { stage: "limit", reason };
  }

  // The request of an open call.

  /** The request of a unary call is in its frame: what else comes for it is no part of the call. */
  #mayStream(): boolean {
    return this.#state.phase === "judging" || this.#state.streaming;
  }

  #openRequest(): OpenRequest {
    const { frame, holding } = this.#o;
    this.#request ??= new OpenRequest(frame.headers, (taken) => this.#credit(taken), holding);
    return this.#request;
  }

  /**
   * The consumer forgets what it is told is taken, and a receipt that is being sealed may cover less: its
   * messages are told behind it.
   */
  #credit({ messages, bytes }: Parameters<Credit>[0]): void {
    this.#untold += messages;
    const isSealing = this.#state.sealing !== undefined;
    this.#send(creditFrame({ messages: isSealing ? 0 : this.#untold, bytes }));
    if (!isSealing) this.#untold = 0;
  }

  #requested(message: Uint8Array): void {
    const request = this.#openRequest();
    if (request.halfClosed) return;
    const over = request.queued > 0 && request.queued + creditOf(message) > requestCreditBytes;
    if (over || message.length > this.#o.requestBytesMax) {
      // A consumer keeps to the credit that it was given, and to the limit of a message.
      request.end();
      return this.#unusable("MESSAGE_TOO_LARGE");
    }
    if (request.add(message)) return;
    request.end();
    this.#unusable("BUSY");
  }

  // Upstream and release.

  #callUpstream(): void {
    const { carriage, frame, ports } = this.#o;
    const { obligations, method, sent } = this.#judged;
    const statement = this.#judged.statement as CallStatement;
    const connector = ports.upstream(statement.service);
    if (connector === undefined) {
      return this.#step({ kind: "upstream-failed", reason: "UPSTREAM_UNAVAILABLE" });
    }
    const elapsedMs = Math.round(this.#trace.elapsedMs);
    let mask: AnswerMask | undefined;
    try {
      mask = maskOf(this.#judged, ports.masks);
    } catch (error) {
      return this.#upstreamFailed(error);
    }
    const bounds = boundsOf(obligations as Obligations, ports);
    this.#segments = new AnswerSegments(answerFilter(mask), bounds, this.#o.holding);
    const streaming = isStreaming(method as ServiceMethod);
    this.#arrived = ports.expected.expect();
    this.#upstream = callOfUpstream({
      connector,
      clock: ports.clock,
      call: { statement, consumer: agencyOf(carriage.link.peer), frame, sent },
      trace: this.#trace.upstream(),
      timeoutMs:
        this.#timeoutMs === undefined ? undefined : Math.max(1, this.#timeoutMs - elapsedMs),
      messageBytesMax: ports.messageBytesMax,
      signal: this.#abort.signal,
      request: streaming ? this.#openRequest() : undefined,
      oneAnswer: method?.server_streaming !== true,
      into: this.#segments,
      joined: this.#joined(),
      progressed: () => this.#progressed(),
      answered: () => {
        this.#request?.end();
        this.#step({ kind: "answered" });
      },
      unusable: (reason) => this.#unusable(reason),
      failed: (error) => this.#upstreamFailed(error),
    });
  }

  /** A call under an idempotency key joins the one in flight. */
  #joined(): UpstreamRunOptions["joined"] {
    const { decision, sent, statement } = this.#judged;
    const { carriage, ports } = this.#o;
    const key = sent?.idempotency;
    if (key === undefined || decision === undefined || statement === undefined) return undefined;
    const agency = agencyOf(carriage.link.peer);
    const { method } = statement;
    return { calls: ports.joined, name: { agency, grantJti: decision.grantJti, method, key } };
  }

  #progressed(): void {
    const isFull = this.#segments?.full === true;
    if (isFull || this.#o.holding.crowded) this.#upstream?.take(false);
    this.#pace.came(isFull || this.#o.holding.crowded);
  }

  #unusable(reason: ReasonCode): void {
    this.#step({ kind: "answer-unusable", reason });
  }

  #upstreamFailed(error: unknown): void {
    const reason = error instanceof CausewayError ? error.code : "INTERNAL";
    if (reason === "INTERNAL") this.#report(error);
    this.#pace.flush();
    if (reason === "DEADLINE") return this.interrupt("deadline");
    this.#step({ kind: "upstream-failed", reason });
  }

  #sealReceipt(): void {
    const segment = (this.#segments as AnswerSegments).take();
    this.#pace.taken(segment.messages.length);
    this.#sealing.sealSegment({
      segment,
      request: this.#request,
      connector: this.#upstream?.kind ?? "grpc",
      upstreamMs: this.#upstream?.elapsedMs ?? 0,
    });
    this.#o.holding.whenRoom(() => this.#upstream?.take(true));
  }

  #release(): void {
    const { segment: sealedSegment, sealed, withheld } = this.#sealing;
    const proof = sealed === undefined || withheld ? undefined : proofOf(sealed);
    if (sealedSegment !== undefined && sealed !== undefined && proof !== undefined) {
      const { segment, receipt } = sealedSegment;
      this.#sealing.segment = undefined;
      // The last one is not waited for: nothing of the attempt is kept until it is acknowledged.
      const isLast = segment.status !== undefined;
      const acknowledged = isLast ? undefined : () => this.#step({ kind: "acknowledged" });
      this.#o.released(sealed, this.#judged.key, acknowledged);
      const opened = this.#openedProof(segment.number === 1);
      const frame = answerFrame(segment, receipt, proof, opened);
      const left = this.#o.holding.leave(segment.bytes);
      this.#o.carriage.send(frame, this.#records.released(segment.framesEnd, left));
      this.#trace.sealed(segment.messages, segment.status !== undefined);
      if (segment.status !== undefined) this.#trace.ended("receipt", segment.status.grpcCode);
      return;
    }
    const reason = this.#sealing.closingReason ?? "INTERNAL";
    const status = this.#sealing.status(reason);
    // Behind a receipt nothing is a refusal that has no record to show.
    const isUnshown = withheld && this.#records.hasReleased;
    const encoded = encodeMessage(StatusFrameSchema, status);
    const refused = refusedFrame(encoded, proof, this.#openedProof(true));
    this.#send(isUnshown ? failedFrame(reason) : refused);
    this.#trace.ended(reason, status.code);
  }

  /** Of a method that writes: it binds what follows to the call. */
  #openedProof(isFirst: boolean): Proof | undefined {
    const { opened } = this.#sealing;
    return opened === undefined || !isFirst ? undefined : proofOf(opened);
  }

  #send(body: FrameBody): void {
    this.#o.carriage.send(body);
  }

  #report(error: unknown): void {
    const { events, random } = this.#o.ports;
    events.internalError({ error, errorId: toHex(random(8)) });
  }
}
