/**
 * What this gateway knows to be used of the quotas of its agency's grants. Receipts of the agency's other
 * gateways count as they become final, its own as their attempts end; permits hold a place meanwhile.
 * Only the newest two periods of a grant are kept: no decision asks for an earlier one.
 */
import { agencyOf } from "../src/base/ids.ts";
import type { Decision } from "../src/gen/causeway/record/v1/parts_pb.ts";
import type { JournalBatch, JournalReader } from "../src/ledger/journal/store.ts";
import type { IncludedBatch, Replica } from "../src/ledger/ports.ts";
import type { GivenAttribute } from "../src/policy/attributes.ts";
import { decide, type DecisionFacts, type DecisionOutcome } from "../src/policy/decide.ts";
import type { PolicyEngine } from "../src/policy/ports.ts";
import {
  type QuotaFacts,
  quotaPeriodStart,
  type QuotaUsage,
  type Reservation,
} from "../src/policy/quota.ts";
import { ReceiptedAttempts } from "../src/policy/receipted-attempts.ts";
import { kindOfBatch } from "../src/record/batch.ts";
import { parseLeaf } from "../src/record/leaf.ts";
import { openRecord, recordHash } from "../src/record/record.ts";

/** Counts of one grant in one period. */
interface Counts {
  usedOnLedger: bigint;
  usedInChain: bigint;
  reserved: bigint;
}

export interface QuotaUsageOptions {
  readonly replica: Pick<Replica, "state" | "final" | "batch" | "frozenNote" | "onIncluded">;
  readonly journal: Pick<JournalReader, "newest">;
  /** Id of the own gateway. */
  readonly gateway: string;
  /** Unix milliseconds at which the process starts. */
  readonly startedAtMs: number;
}

const periodsKept = 2;
const journalPage = 256;

export class QuotaUsageCounter implements QuotaFacts {
  readonly gateway: string;
  readonly #replica: QuotaUsageOptions["replica"];
  /** Counts by grant, then by start of the period. */
  readonly #counts: Map<string, Map<number, Counts>> = new Map();
  /** Chains of the agency's other gateways, by gateway. */
  readonly #chains: Map<string, ReceiptedAttempts> = new Map();
  /** Batches of those gateways that are included and not counted yet, ascending by index. */
  #waiting: IncludedBatch[] = [];
  readonly #journal: QuotaUsageOptions["journal"];
  readonly #startedAtMs: number;
  /** Whether everything from before the start was read when the replica held what the own chain rests on. */
  #isRead: boolean;
  readonly #stop: () => void;

  /** Counts what ledger and journal hold of the periods that are under way. */
  constructor(options: QuotaUsageOptions) {
    this.gateway = options.gateway;
    this.#replica = options.replica;
    this.#journal = options.journal;
    this.#startedAtMs = options.startedAtMs;
    this.#isRead = this.#read();
    this.#stop = options.replica.onIncluded((batch) => this.#included(batch));
  }

  close(): void {
    this.#stop();
  }

  usage(grantJti: string, periodStart: number): QuotaUsage {
    if (!this.#isRead) this.#isRead = this.#read();
    this.#countFinal();
    const known = this.#counts.get(grantJti)?.get(periodStart);
    return known === undefined ? { usedOnLedger: 0n, usedInChain: 0n, reserved: 0n } : { ...known };
  }

  /** Holds one place. */
  reserve(grantJti: string, periodStart: number): Reservation {
    const counts = this.#countsOf(grantJti, periodStart);
    counts.reserved += 1n;
    let isOpen = true;
    return {
      end: (receipted) => {
        if (!isOpen) return;
        isOpen = false;
        counts.reserved -= 1n;
        if (receipted) counts.usedInChain += 1n;
      },
    };
  }

  /**
   * Reads what was used before. A replica that is behind the own chain may not know its grants yet: then
   * nothing can be sealed, and this is done again.
   */
  #read(): boolean {
    for (const periods of this.#counts.values()) {
      for (const counts of periods.values())
        Object.assign(counts, { usedOnLedger: 0n, usedInChain: 0n });
    }
    this.#chains.clear();
    this.#waiting = [];
    const sinceMs = this.#periodsSinceMs(this.#startedAtMs);
    if (sinceMs !== undefined) {
      this.#readLedger(sinceMs);
      this.#readJournal(sinceMs);
    }
    const [tip] = this.#journal.newest({ countMax: 1 });
    const seenSize = tip === undefined ? 0n : parseLeaf(tip.leaf).header.seenSize;
    return (this.#replica.final()?.size ?? 0n) >= seenSize;
  }

  /** The start of the earliest period under way, of all quotas that this agency has granted. */
  #periodsSinceMs(nowMs: number): number | undefined {
    const state = this.#replica.state();
    const atS = Math.floor(nowMs / 1000);
    const skewS = state.network?.bounds.skew_s ?? 0;
    let sinceS: number | undefined;
    for (const { provider, detail, standing } of state.grants.values()) {
      const { nbf, exp } = standing;
      if (detail.quota === undefined || provider !== agencyOf(this.gateway)) continue;
      if (nbf === undefined || (exp !== undefined && exp + skewS < atS)) continue;
      const periodS = detail.quota.period_s;
      // A clock that steps back may still ask for the period before.
      const startS = quotaPeriodStart({ nbf, periodS }, atS - 1) - skewS;
      sinceS = Math.min(sinceS ?? startS, startS);
    }
    return sinceS === undefined ? undefined : sinceS * 1000;
  }

  #readLedger(sinceMs: number): void {
    const { size } = this.#replica.state();
    for (let index = this.#firstFinalSince(sinceMs); index < size; index++) {
      const batch = this.#replica.batch(index);
      if (batch !== undefined) this.#included(batch);
    }
    this.#countFinal();
  }

  /** The first index that was not final before `sinceMs`: what lies below it was decided before then. */
  #firstFinalSince(sinceMs: number): bigint {
    let low = 0n;
    let high = this.#replica.final()?.size ?? 0n;
    while (low < high) {
      const middle = (low + high) / 2n;
      const finalMs = this.#replica.frozenNote(middle)?.timeMs ?? Number.POSITIVE_INFINITY;
      if (finalMs < sinceMs) low = middle + 1n;
      else high = middle;
    }
    return low;
  }

  #readJournal(sinceMs: number): void {
    const batches: JournalBatch[] = [];
    for (;;) {
      const before = batches.at(-1)?.number;
      const page = this.#journal.newest({
        countMax: journalPage,
        ...(before === undefined ? {} : { before }),
      });
      batches.push(...page);
      const oldest = page.at(-1);
      if (oldest === undefined) break;
      // Seals of a chain never go back in time.
      if (Number(parseLeaf(oldest.leaf).header.sealedAt) < sinceMs) break;
    }
    const chain = new ReceiptedAttempts();
    for (const { leaf, records } of batches.toReversed()) {
      if (kindOfBatch(parseLeaf(leaf).header) !== "evidence") continue;
      this.#takeAll(chain, records, (counts) => (counts.usedInChain += 1n));
    }
  }

  #included(batch: IncludedBatch): void {
    // At a change of term another batch may come to an index that was not final.
    const isReplaced = (this.#waiting.at(-1)?.index ?? -1n) >= batch.index;
    if (isReplaced) this.#waiting = this.#waiting.filter(({ index }) => index < batch.index);
    const { gateway } = batch.header;
    if (gateway === this.gateway || agencyOf(gateway) !== agencyOf(this.gateway)) return;
    if (kindOfBatch(batch.header) === "evidence") this.#waiting.push(batch);
  }

  /** Counts what has become final, so that the counts are those of the newest final size. */
  #countFinal(): void {
    const size = this.#replica.final()?.size ?? 0n;
    const isFinal = ({ index }: IncludedBatch): boolean => index < size;
    if (this.#waiting[0] === undefined || !isFinal(this.#waiting[0])) return;
    for (const { header, records } of this.#waiting.filter(isFinal)) {
      const chain = this.#chains.get(header.gateway) ?? new ReceiptedAttempts();
      this.#chains.set(header.gateway, chain);
      this.#takeAll(chain, records, (counts) => (counts.usedOnLedger += 1n));
    }
    this.#waiting = this.#waiting.filter((batch) => !isFinal(batch));
  }

  #takeAll(
    chain: ReceiptedAttempts,
    records: readonly Uint8Array[],
    add: (counts: Counts) => void,
  ): void {
    for (const bytes of records) {
      const decision = chain.take(openRecord(bytes), () => recordHash(bytes));
      const counts = decision === undefined ? undefined : this.#countsDecided(decision);
      if (counts !== undefined) add(counts);
    }
  }

  /** The counts of a recorded decision, when a grant of this agency has such a period. */
  #countsDecided({ grantJti, evaluatedAt }: Decision): Counts | undefined {
    const grant = this.#replica.state().grants.get(grantJti);
    const rule = grant?.detail.quota;
    const nbf = grant?.standing.nbf;
    if (rule === undefined || nbf === undefined) return undefined;
    return this.#countsOf(
      grantJti,
      quotaPeriodStart({ nbf, periodS: rule.period_s }, Number(evaluatedAt)),
    );
  }

  #countsOf(grantJti: string, periodStart: number): Counts {
    const periods = this.#counts.get(grantJti) ?? new Map<number, Counts>();
    this.#counts.set(grantJti, periods);
    const counts = periods.get(periodStart) ?? { usedOnLedger: 0n, usedInChain: 0n, reserved: 0n };
    periods.set(periodStart, counts);
    if (periods.size > periodsKept) periods.delete(Math.min(...periods.keys()));
    return counts;
  }
}

/** Decides with what is used of the quotas, and reserves when it permits. */
export function decideAndReserve(
  quotas: QuotaUsageCounter,
  facts: Omit<DecisionFacts, "quotas">,
  attributes: readonly GivenAttribute[],
  engine: PolicyEngine,
): DecisionOutcome {
  const outcome = decide({ ...facts, quotas }, attributes, engine);
  const { verdict, decision } = outcome;
  if (verdict !== "permit" || decision?.quota === undefined) return outcome;
  const periodStart = Number(decision.quota.periodStart);
  return { ...outcome, reservation: quotas.reserve(decision.grantJti, periodStart) };
}
