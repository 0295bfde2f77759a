/**
 * What the ledger's own times say of each batch (RECORDS.md, DESIGN.md section 10). A batch is judged
 * once the first checkpoint that makes it final is there: until then that time is not known.
 */
import type { FinalSize, FinalSizes } from "./final-sizes.ts";
import { findingAt, type Report } from "./findings.ts";

/** Something of a batch that was called or released under a grant. */
export interface Released {
  readonly position: number;
  readonly grant: GrantEnd;
  readonly maxStalenessMs: number;
}

/** How a grant ends, as far as it is known. */
export interface GrantEnd {
  readonly jti: string;
  /** Index of the revocation. */
  readonly until: bigint | undefined;
  /** Unix seconds. */
  readonly exp: number | undefined;
}

export interface TimedBatch {
  readonly index: bigint;
  readonly gateway: string;
  readonly sealedAtMs: number;
  readonly seenSize: bigint;
  readonly released: readonly Released[];
}

export interface TimeBounds {
  readonly skewMs: number;
  readonly inclusionBoundMs: number;
}

export class BatchTimes {
  readonly #finals: FinalSizes;
  readonly #report: Report;
  #waiting: TimedBatch[] = [];
  /** For each gateway the newest seal among what earlier checkpoints made final. */
  readonly #finalSeals = new Map<string, number>();
  #newestFinalMs = 0;

  constructor(finals: FinalSizes, report: Report) {
    this.#finals = finals;
    this.#report = report;
  }

  /** Batches that no checkpoint has made final. */
  get waiting(): readonly TimedBatch[] {
    return this.#waiting;
  }

  add(batch: TimedBatch): void {
    this.#waiting.push(batch);
  }

  /** Every waiting batch is final by this checkpoint. */
  settle(final: FinalSize, bounds: TimeBounds): void {
    const batches = this.#waiting;
    this.#waiting = [];
    const last = batches.at(-1);
    if (last !== undefined && final.timeMs < this.#newestFinalMs - bounds.skewMs) {
      const place = { index: last.index, position: 0, gateway: last.gateway };
      const fields = { size: String(final.size), timeMs: String(final.timeMs) };
      this.#report(findingAt(place, "FINAL_TIME_BACK", fields));
    }
    this.#newestFinalMs = Math.max(this.#newestFinalMs, final.timeMs);
    for (const batch of batches) this.#judge(batch, final, bounds);
    for (const { gateway, sealedAtMs } of batches) this.#finalSeals.set(gateway, sealedAtMs);
  }

  #judge(batch: TimedBatch, final: FinalSize, bounds: TimeBounds): void {
    const { sealedAtMs, seenSize, index, gateway } = batch;
    const place = { index, position: 0, gateway };
    const seenMs = this.#finals.timeOf(seenSize);
    const times = {
      sealedAt: String(sealedAtMs),
      seen: String(seenMs ?? ""),
      final: String(final.timeMs),
    };
    const early = seenMs !== undefined && sealedAtMs < seenMs - bounds.skewMs;
    // Cosignature times are whole seconds: the quorum may have been met up to a second later.
    if (early || sealedAtMs > final.timeMs + 999 + bounds.skewMs) {
      this.#report(findingAt(place, "TIME_IMPLAUSIBLE", times));
    }
    this.#judgeStaleness(batch);
    // What waited for a sequencer to be appointed is not late: its time runs from the term's first size.
    const waitedMs = final.timeMs - Math.max(sealedAtMs, this.#termSinceMs(final));
    if (waitedMs > bounds.inclusionBoundMs && this.#wasOvertaken(batch)) {
      this.#report(findingAt(place, "LATE", times));
      this.#judgeLate(batch, final);
    }
  }

  #termSinceMs({ term, timeMs }: FinalSize): number {
    return term === 0n ? 0 : (this.#finals.termSinceMs(term) ?? timeMs);
  }

  #judgeStaleness({ index, gateway, sealedAtMs, seenSize, released }: TimedBatch): void {
    const next = released.length === 0 ? undefined : this.#finals.firstAbove(seenSize);
    if (next === undefined) return;
    for (const { position, maxStalenessMs } of released) {
      if (sealedAtMs - next.timeMs <= maxStalenessMs) continue;
      const fields = { seenSize: String(seenSize), staleMs: String(sealedAtMs - next.timeMs) };
      this.#report(findingAt({ index, position, gateway }, "STALE_SEAL", fields));
    }
  }

  /** Whether something that another gateway sealed later became final by an earlier checkpoint. */
  #wasOvertaken({ gateway, sealedAtMs }: TimedBatch): boolean {
    for (const [other, sealed] of this.#finalSeals) {
      if (other !== gateway && sealed > sealedAtMs) return true;
    }
    return false;
  }

  /** For revocation and expiry the later time counts. */
  #judgeLate({ index, gateway, released }: TimedBatch, final: FinalSize): void {
    for (const { position, grant } of released) {
      const place = { index, position, gateway };
      const fields = { grant: grant.jti };
      if (grant.until !== undefined && grant.until < index) {
        this.#report(findingAt(place, "GRANT_TAKEN", fields));
      } else if (grant.exp !== undefined && final.timeMs >= grant.exp * 1000) {
        this.#report(findingAt(place, "GRANT_EXPIRED", fields));
      }
    }
  }
}
