/** One attempt at the provider's gateway: executes the effects of the provider's machine. */
import { toBinary } from "@bufbuild/protobuf";
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import { linkAnswerBytesMax, timerMsMax } from "../base/limits.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { type StatusFrame, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Begin, CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import type { QueuedRecord, Recheck, SealedRecord, Seen, StateChange } from "../ledger/ports.ts";
import { recordHash } from "../record/record.ts";
import { answerFrame, failedFrame, nonceStaleFrame, proofOf, refusedFrame } from "./frames.ts";
import { formatOpenAttempt, openStateKey } from "./open-attempts.ts";
import { type Denial, encodeRefusalOf, foundationsOf } from "./judged-records.ts";
import type { LinkEnd } from "./ports.ts";
import { createJudged, judgeCall, type Judged } from "./provider-judge.ts";
import {
  type ClosedOutcome,
  initialProviderState,
  type Interruption,
  type ProviderEffect,
  type ProviderEvent,
  type ProviderState,
  stepProvider,
} from "./provider-machine.ts";
import {
  type BuiltReceipt,
  createBegin,
  type DenialStage,
  type EncodedAnswer,
  encodeOpened,
  encodeProviderClosed,
  encodeReceipt,
  type FailedRecheck,
  type ProviderOutcome,
} from "./provider-records.ts";
import type { SentValues } from "./received-call.ts";
import type { AttemptOptions } from "./provider-ports.ts";
import { recheck } from "./recheck.ts";
import { statusOf } from "./status.ts";
import { encodeUpstreamAnswer, upstreamHeaders } from "./upstream-frames.ts";

/** Why an answer of the upstream, which has done its work, cannot be released. */
const unusable: ReadonlySet<ReasonCode> = new Set([
  "MESSAGE_TOO_LARGE",
  "METADATA_TOO_LARGE",
  "METADATA_INVALID",
]);

export class ProviderAttempt {
  readonly #o: AttemptOptions;
  readonly #seed: Uint8Array;
  readonly #startedMs: number;
  readonly #timeoutMs: number | undefined;
  readonly #abort = new AbortController();
  readonly #judged: Judged = createJudged();
  #state: ProviderState = initialProviderState;
  #cancelDeadline: (() => void) | undefined;
  #denial: Denial | undefined;
  #begin: Begin | undefined;
  /** Record hash of Opened from the moment that it is queued. */
  #openedHash: Uint8Array | undefined;
  #opened: SealedRecord | undefined;
  #answer: EncodedAnswer | undefined;
  #receipt: BuiltReceipt | undefined;
  #upstreamMs = 0;
  /** Why the closing record is not a receipt. */
  #closingReason: ReasonCode | undefined;
  #closing: SealedRecord | undefined;

  constructor(options: AttemptOptions) {
    const { clock, random } = options.ports;
    this.#o = options;
    this.#seed = random(32);
    this.#startedMs = clock.monotonicMs();
    const { timeoutMs } = options.frame;
    // A peer may say more than a timer takes.
    if (timeoutMs > 0n) this.#timeoutMs = Math.min(Number(timeoutMs), timerMsMax);
  }

  start(): void {
    const { frame, link, ports, used } = this.#o;
    if (this.#timeoutMs !== undefined) {
      const work = (): void => this.interrupt("deadline");
      this.#cancelDeadline = ports.scheduler.after(this.#timeoutMs, work);
    }
    judgeCall({ ports, used, link, frame, judged: this.#judged, signal: this.#abort.signal }).then(
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

  #step(event: ProviderEvent): void {
    const { state, effects } = stepProvider(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#execute(effect);
  }

  #execute(effect: ProviderEffect): void {
    switch (effect.kind) {
      case "seal-opened":
        return this.#sealOpened();
      case "call-upstream":
        return this.#callUpstream();
      case "cancel-upstream":
        return this.#abort.abort();
      case "seal-receipt":
        return this.#sealReceipt();
      case "seal-refusal":
        if (effect.reason !== undefined) this.#denial = { stage: "limit", reason: effect.reason };
        return this.#sealRefusal();
      case "seal-closed":
        return this.#sealClosed(effect.outcome, effect.reason);
      case "release":
        return this.#release();
      case "send-failed":
        return this.#send(failedFrame(effect.reason));
      case "forget":
        this.#cancelDeadline?.();
        // Without a reason each abort makes an exception, with its stack.
        this.#abort.abort("ended");
        this.#o.done();
    }
  }

  #permitted(): void {
    const { call, decision, obligations, method } = this.#judged;
    if (
      call === undefined ||
      decision === undefined ||
      obligations === undefined ||
      method === undefined
    ) {
      throw new TypeError("permitted without a decision");
    }
    const peerTlsKey = this.#o.link.peerTlsKey;
    this.#begin = createBegin({ call, decision, obligations, peerTlsKey });
    this.#step({ kind: "permitted", writes: method.writes });
  }

  #denied(stage: DenialStage, reason: ReasonCode): void {
    this.#denial = { stage, reason };
    this.#o.ports.events.refused({ side: "provider", reason });
    this.#step({ kind: "denied" });
  }

  // Sealing.

  #sealOpened(): void {
    const { xid, attempt } = this.#judged.statement as CallStatement;
    const record = encodeOpened(this.#begin as Begin);
    const prevRecord = recordHash(record);
    this.#openedHash = prevRecord;
    const value = formatOpenAttempt({ xid, attempt, prevRecord });
    const states = [{ key: openStateKey(this.#judged.key), value }];
    this.#seal({ record, states, recheck: (seen, at) => this.#recheck(seen, at) }, (sealed) => {
      if (sealed.replaced) return this.#closed(sealed);
      this.#opened = sealed;
      this.#step({ kind: "opened" });
    });
  }

  #sealReceipt(): void {
    const receipt = encodeReceipt({
      begin: this.#openedHash === undefined ? this.#begin : undefined,
      prevRecord: this.#openedHash,
      requestCommitment: (this.#judged.statement as CallStatement).request,
      answer: this.#answer as EncodedAnswer,
      upstreamMs: this.#upstreamMs,
      seed: this.#seed,
    });
    this.#receipt = receipt;
    this.#keepOpenings(receipt);
    const states = this.#closingStates();
    this.#seal(
      { record: receipt.record, states, recheck: (seen, at) => this.#recheck(seen, at) },
      (sealed) => this.#closed(sealed),
    );
  }

  #sealRefusal(): void {
    const { ports, limiter, link } = this.#o;
    const { clock } = ports;
    const { reason } = this.#denial as Denial;
    this.#closingReason = reason;
    const now = { unixMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    if (!limiter.admit(link.peer, reason, now))
      return this.#step({ kind: "sealed", replaced: false });
    this.#seal({ record: this.#refusal(undefined), states: [] }, (sealed) => this.#closed(sealed));
  }

  #sealClosed(outcome: ClosedOutcome, reason: ReasonCode): void {
    this.#closingReason = reason;
    const record = this.#closedRecord(outcome, reason, undefined);
    this.#seal({ record, states: this.#closingStates() }, (sealed) => this.#closed(sealed));
  }

  #closingStates(): StateChange[] {
    return this.#openedHash === undefined ? [] : [{ key: openStateKey(this.#judged.key) }];
  }

  #seal(
    queued: Pick<QueuedRecord, "record" | "states" | "recheck">,
    durable: (sealed: SealedRecord) => void,
  ): void {
    const { clock, sealer } = this.#o.ports;
    sealer.seal({ kind: "evidence", decidedAtMs: clock.nowMs(), ...queued }).then(
      (sealed) => {
        if (sealed !== undefined) durable(sealed);
      },
      (error: unknown) => {
        const reason = error instanceof CausewayError ? error.code : "INTERNAL";
        if (reason === "INTERNAL") this.#report(error);
        if (this.#opened !== undefined) this.#o.unsealed(this.#judged.key);
        this.#step({ kind: "seal-failed", reason });
      },
    );
  }

  #closed(sealed: SealedRecord): void {
    this.#closing = sealed;
    if (sealed.replaced) {
      this.#receipt = undefined;
      const reason = this.#closingReason ?? "INTERNAL";
      this.#o.ports.events.refused({ side: "provider", reason });
    }
    this.#step({ kind: "sealed", replaced: sealed.replaced });
  }

  /** In the turn that closes the batch: whether Opened or receipt stands, or what takes its place. */
  #recheck(seen: Seen, closedAtMs: number): Recheck {
    const { link, ports } = this.#o;
    const failed = recheck({
      foundations: foundationsOf(this.#judged, link.peer, ports.self.gateway),
      replica: ports.replica,
      localTakings: ports.localTakings,
      seen,
      closedAtMs,
    });
    if (failed === undefined) return { kind: "stands" };
    const { reason } = failed;
    this.#closingReason = reason;
    const stale = reason === "STALE_REPLICA";
    if (!this.#state.onRecord) {
      this.#denial = { stage: stale ? "evidence" : "grant", reason };
      return { kind: "replaced", record: this.#refusal(failed), states: [] };
    }
    const record = this.#closedRecord(stale ? "stale" : "revoked", reason, failed);
    return { kind: "replaced", record, states: this.#closingStates() };
  }

  #refusal(failed: FailedRecheck | undefined): Uint8Array {
    return encodeRefusalOf({
      judged: this.#judged,
      token: this.#o.frame.token,
      link: this.#o.link,
      seed: this.#seed,
      denial: this.#denial as Denial,
      recheck: failed,
      upstreamCalled: this.#state.upstreamCalled,
    });
  }

  #closedRecord(
    outcome: ProviderOutcome,
    reason: ReasonCode,
    failed: FailedRecheck | undefined,
  ): Uint8Array {
    const { xid, attempt } = this.#judged.statement as CallStatement;
    return encodeProviderClosed({
      xid,
      attempt,
      prevRecord: this.#openedHash as Uint8Array,
      outcome,
      decision: failed === undefined ? undefined : this.#judged.decision,
      recheck: failed,
      upstreamCalled: this.#state.upstreamCalled,
      reason,
      status: toBinary(StatusFrameSchema, this.#status(reason)),
      seed: this.#seed,
    });
  }

  // Upstream and release.

  #callUpstream(): void {
    const { frame, ports } = this.#o;
    const statement = this.#judged.statement as CallStatement;
    const connector = ports.upstream(statement.service);
    if (connector === undefined) {
      return this.#step({ kind: "upstream-failed", reason: "UPSTREAM_UNAVAILABLE" });
    }
    const startedMs = ports.clock.monotonicMs();
    const elapsedMs = Math.round(startedMs - this.#startedMs);
    const timeoutMs =
      this.#timeoutMs === undefined ? undefined : Math.max(1, this.#timeoutMs - elapsedMs);
    connector
      .callUnary({
        path: statement.method,
        headers: upstreamHeaders({
          received: frame.headers,
          statement,
          consumer: agencyOf(this.#o.link.peer),
          sent: this.#judged.sent as SentValues,
        }),
        message: frame.message,
        timeoutMs,
        answerBytesMax: linkAnswerBytesMax,
        signal: this.#abort.signal,
      })
      .then((answer) => {
        this.#upstreamMs = ports.clock.monotonicMs() - startedMs;
        return encodeUpstreamAnswer(answer);
      })
      .then(
        (answer) => {
          this.#answer = answer;
          this.#step({ kind: "answered" });
        },
        (error: unknown) => this.#upstreamFailed(error),
      );
  }

  #upstreamFailed(error: unknown): void {
    const reason = error instanceof CausewayError ? error.code : "INTERNAL";
    if (reason === "INTERNAL") this.#report(error);
    if (unusable.has(reason)) return this.#step({ kind: "answer-unusable", reason });
    if (reason === "DEADLINE") return this.interrupt("deadline");
    this.#step({ kind: "upstream-failed", reason });
  }

  #keepOpenings(receipt: BuiltReceipt): void {
    const { xid, attempt } = this.#judged.statement as CallStatement;
    const items = this.#o.frame.openings.map(({ label, salt, value }) => ({ label, salt, value }));
    items.push({ label: "response", salt: receipt.responseSalt, value: receipt.response });
    this.#o.ports.openings.put({ xid, attempt, side: "provider", seed: this.#seed, items });
  }

  #status(reason: ReasonCode): StatusFrame {
    return statusOf(reason, this.#state.upstreamCalled ? { upstream_called: "true" } : {});
  }

  #release(): void {
    const proof = this.#closing === undefined ? undefined : proofOf(this.#closing);
    const opened: Proof | undefined =
      this.#opened === undefined ? undefined : proofOf(this.#opened);
    const answer = this.#answer;
    if (this.#receipt !== undefined && answer !== undefined && proof !== undefined) {
      this.#o.released(this.#closing as SealedRecord, this.#judged.key);
      this.#send(answerFrame(answer, this.#receipt, proof, opened));
      return this.#ended("receipt", answer.grpcCode);
    }
    const reason = this.#closingReason ?? "INTERNAL";
    const status = this.#status(reason);
    this.#send(refusedFrame(toBinary(StatusFrameSchema, status), proof, opened));
    this.#ended(reason, status.code);
  }

  #send(body: Parameters<LinkEnd["send"]>[1]): void {
    this.#o.link.send(this.#o.exchange, body);
  }

  #ended(outcome: string, grpcCode: number): void {
    const { clock, events } = this.#o.ports;
    const durationMs = clock.monotonicMs() - this.#startedMs;
    events.exchangeEnded({ side: "provider", outcome, grpcCode, durationMs });
  }

  #report(error: unknown): void {
    const { events, random } = this.#o.ports;
    events.internalError({ error, errorId: toHex(random(8)) });
  }
}
