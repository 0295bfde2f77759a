/** What one attempt at the provider's gateway has sealed, and the re-check of each of its records. */
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { StatusFrame } from "../gen/causeway/exchange/v1/frames_pb.ts";
import { Durability } from "../gen/causeway/record/v1/parts_pb.ts";
import type { QueuedRecord, Recheck, SealedRecord, Seen } from "../ledger/ports.ts";
import type { Segment } from "./answer-segments.ts";
import { awaitFinal } from "./await-final.ts";
import { type Denial, foundationsOf } from "./judged-records.ts";
import type { ProviderAttemptRecords } from "./provider-attempt-records.ts";
import type { Judged } from "./provider-judge.ts";
import type { ClosedOutcome, ProviderEvent, ProviderState } from "./provider-machine.ts";
import type { AttemptOptions } from "./provider-ports.ts";
import type { BuiltReceipt, FailedRecheck } from "./provider-records.ts";
import { type Foundations, recheck, type Stand, standAt } from "./recheck.ts";
import { statusOf } from "./status.ts";

/** A segment that is sealed, or is being sealed. */
export interface SealedSegment {
  readonly segment: Segment;
  readonly receipt: BuiltReceipt;
}

export interface ProviderSealingOptions {
  readonly attempt: AttemptOptions;
  readonly judged: Judged;
  readonly records: ProviderAttemptRecords;
  /** Ends with the attempt. */
  readonly signal: AbortSignal;
  readonly state: () => ProviderState;
  readonly step: (event: ProviderEvent) => void;
  readonly report: (error: unknown) => void;
}

export class ProviderSealing {
  readonly #o: ProviderSealingOptions;
  /** Opened, once it is durable. */
  opened: SealedRecord | undefined;
  /** What is to be released, with its record where it has one of its own. */
  sealed: SealedRecord | undefined;
  segment: SealedSegment | undefined;
  /** A receipt of the attempt is durable. */
  receipted = false;
  /** A receipt of the attempt is durable and was not sent: the consumer cannot follow what follows it. */
  withheld = false;
  /** Why the closing record is not a receipt. */
  closingReason: ReasonCode | undefined;

  constructor(options: ProviderSealingOptions) {
    this.#o = options;
  }

  /** The status that the consumer gets for a reason. */
  status(reason: ReasonCode): StatusFrame {
    const { upstreamCalled } = this.#o.state();
    return statusOf(reason, upstreamCalled ? { upstream_called: "true" } : {});
  }

  sealOpened(): void {
    const { record, states } = this.#o.records.opened();
    this.#keepRecordOpenings();
    this.#seal({ record, states, recheck: (seen, at) => this.#recheck(seen, at) }, (sealed) => {
      if (sealed.replaced) return this.#closed(sealed);
      this.opened = sealed;
      this.#o.records.stands(sealed.record);
      this.#o.step({ kind: "opened" });
    });
  }

  sealSegment(options: Parameters<ProviderAttemptRecords["receipt"]>[0]): void {
    const { segment } = options;
    const { record, states, receipt } = this.#o.records.receipt(options);
    this.segment = { segment, receipt };
    if (segment.number === 1 || segment.status !== undefined) {
      this.#o.attempt.ports.openings.put(this.#o.records.openings());
    }
    this.#seal({ record, states, recheck: (seen, at) => this.#recheck(seen, at) }, (sealed) => {
      if (sealed.replaced) return this.#closed(sealed);
      this.#o.records.stands(sealed.record);
      this.receipted = true;
      this.#whenDurable(sealed, () => {
        this.sealed = sealed;
        this.#o.step({ kind: "sealed", replaced: false });
      });
    });
  }

  sealRefusal(denial: Denial): void {
    const { attempt, records, step, state } = this.#o;
    const { clock } = attempt.ports;
    this.closingReason = denial.reason;
    const now = { unixMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
    if (!attempt.limiter.admit(attempt.carriage.link.peer, denial.reason, now)) {
      return step({ kind: "sealed", replaced: false });
    }
    const record = records.refusal(denial, undefined, state().upstreamCalled);
    this.#keepRecordOpenings();
    this.#seal({ record, states: [] }, (sealed) => this.#closed(sealed));
  }

  /** A decision on record can be replayed, and a refusal opened, whatever became of its call. */
  #keepRecordOpenings(): void {
    const openings = this.#o.records.recordOpenings();
    if (openings !== undefined) this.#o.attempt.ports.openings.put(openings);
  }

  /**
   * Ends an attempt that rests on what was taken away. What the turn of its seal says of that goes on record; if that
   * is nothing by then, because what took it away found no way into the journal, the attempt has ended all the same.
   */
  sealTaken(): void {
    const { records, state } = this.#o;
    const { onRecord, upstreamCalled } = state();
    const reason = "INTERNAL";
    this.closingReason = reason;
    const standing = onRecord
      ? this.#closing("gateway-error", reason)
      : {
          record: records.refusal({ stage: "limit", reason }, undefined, upstreamCalled),
          states: [],
        };
    this.#seal({ ...standing, recheck: (seen, at) => this.#recheck(seen, at) }, (sealed) => {
      this.#keepRecordOpenings();
      this.#closed(sealed);
    });
  }

  /** How what the attempt rests on stands now. */
  stand(): Stand {
    const { clock, localTakings, replica } = this.#o.attempt.ports;
    return standAt({
      foundations: this.#foundations(),
      replica,
      localTakings,
      atMs: clock.nowMs(),
    });
  }

  sealClosed(outcome: Exclude<ClosedOutcome, "revoked">, reason: ReasonCode): void {
    this.closingReason = reason;
    this.#seal(this.#closing(outcome, reason), (sealed) => this.#closed(sealed));
  }

  /** A closing that no re-check has caused. */
  #closing(
    outcome: Exclude<ClosedOutcome, "revoked">,
    reason: ReasonCode,
  ): ReturnType<ProviderAttemptRecords["closed"]> {
    const { upstreamCalled } = this.#o.state();
    const status = this.status(reason);
    return this.#o.records.closed({ outcome, reason, recheck: undefined, upstreamCalled, status });
  }

  /** Where the grant asks for it a receipt counts as durable once it is final. */
  #whenDurable(sealed: SealedRecord, then: () => void): void {
    const { attempt, judged, signal, step, report } = this.#o;
    if (judged.obligations?.durability !== Durability.LEDGER) return then();
    const { replica, scheduler } = attempt.ports;
    const timeoutMs = this.#foundations().maxStalenessMs;
    awaitFinal({ leafHash: sealed.leafHash, replica, scheduler, signal, timeoutMs }).then(
      (isFinal) => {
        if (isFinal) return then();
        this.segment = undefined;
        this.withheld = true;
        step({ kind: "withheld", reason: "LEDGER_UNAVAILABLE" });
      },
      report,
    );
  }

  #seal(
    queued: Pick<QueuedRecord, "record" | "states" | "recheck">,
    durable: (sealed: SealedRecord) => void,
  ): void {
    const { attempt, judged, state, step, report } = this.#o;
    const { clock, sealer } = attempt.ports;
    sealer.seal({ kind: "evidence", decidedAtMs: clock.nowMs(), ...queued }).then(
      (sealed) => {
        if (sealed !== undefined) durable(sealed);
      },
      (error: unknown) => {
        const reason = error instanceof CausewayError ? error.code : "INTERNAL";
        if (reason === "INTERNAL") report(error);
        if (state().onRecord) attempt.unsealed(judged.key);
        step({ kind: "seal-failed", reason });
      },
    );
  }

  /** The record that closes the attempt is durable. */
  #closed(sealed: SealedRecord): void {
    this.sealed = sealed;
    this.segment = undefined;
    if (sealed.replaced) {
      const reason = this.closingReason ?? "INTERNAL";
      this.#o.attempt.ports.events.refused({ side: "provider", reason });
    }
    this.#o.step({ kind: "sealed", replaced: sealed.replaced });
  }

  /** In the turn that closes the batch: whether Opened or receipt stands, or what takes its place. */
  #recheck(seen: Seen, closedAtMs: number): Recheck {
    const { records } = this.#o;
    const failed = this.#failed(seen, closedAtMs);
    if (failed === undefined) return { kind: "stands" };
    const { reason } = failed;
    this.closingReason = reason;
    const stale = reason === "STALE_REPLICA";
    const { onRecord, upstreamCalled } = this.#o.state();
    if (!onRecord) {
      const denial: Denial = { stage: stale ? "evidence" : "grant", reason };
      const record = records.refusal(denial, failed, upstreamCalled);
      return { kind: "replaced", record, states: [] };
    }
    const outcome = stale ? "stale" : "revoked";
    const status = this.status(reason);
    const closed = records.closed({ outcome, reason, recheck: failed, upstreamCalled, status });
    return { kind: "replaced", ...closed };
  }

  #failed(seen: Seen, closedAtMs: number): FailedRecheck | undefined {
    const { replica, localTakings } = this.#o.attempt.ports;
    return recheck({ foundations: this.#foundations(), replica, localTakings, seen, closedAtMs });
  }

  #foundations(): Foundations {
    const { attempt, judged } = this.#o;
    return foundationsOf(judged, attempt.carriage.link.peer, attempt.ports.self.gateway);
  }
}
