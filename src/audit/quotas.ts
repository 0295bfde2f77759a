/**
 * Quotas counted again. What the agency's other gateways had on the ledger below the decided size is
 * known exactly. For the own chain it is used that the attempts of one period were decided one after
 * another, and that each decision counted or reserved those before it: of the receipted ones, at most m
 * can say that fewer than m stood before them.
 */
import { agencyOf } from "../base/ids.ts";
import { batchRecordsMax } from "../base/limits.ts";
import { NumberList } from "../base/number-list.ts";
import type { Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import { ReceiptedAttempts } from "../policy/receipted-attempts.ts";
import type { LedgerRecord } from "../record/record.ts";
import type { RegistryState } from "../registry/state.ts";
import { findingAt, type Place, type Report } from "./findings.ts";

/**
 * Receipted attempts of one gateway under one grant in one period, in numbers: there may be as many as the quota
 * allows, and of one that failed beside others all the later ones are ahead.
 */
interface Uses {
  readonly agency: string;
  readonly gateway: string;
  /** Of each its batch, in the order of the ledger. */
  readonly indexes: NumberList;
  /** So many attempts say 0, 1, 2 and so on, one each: no further one may say less. */
  settled: number;
  /** The other ones by what they say: where the newest of them stands. */
  readonly ahead: Map<number, number>;
  /** How many say the same, where it is more than one. */
  readonly alike: Map<number, number>;
}

export class Quotas {
  readonly #report: Report;
  readonly #chains: Map<string, ReceiptedAttempts> = new Map();
  /** By grant and period, one for each gateway. */
  readonly #uses: Map<string, Uses[]> = new Map();

  constructor(report: Report) {
    this.#report = report;
  }

  /** Takes the next record of evidence of the ledger. */
  take(
    record: LedgerRecord,
    { place, recordHash }: { readonly place: Place; readonly recordHash: Uint8Array },
    { grants }: Pick<RegistryState, "grants">,
  ): void {
    const { body } = record;
    const decided =
      body.case === "opened"
        ? body.value.begin?.decision
        : body.case === "receipt" && body.value.start.case === "begin"
          ? body.value.start.value.decision
          : body.case === "refusal"
            ? body.value.decision
            : undefined;
    // Under shares gateways do not count each other.
    const isShared = grants.get(decided?.grantJti ?? "")?.detail.quota?.shares !== undefined;
    if (decided?.quota !== undefined && !isShared) this.#checkLedger(decided, place);
    const chain = this.#chains.get(place.gateway) ?? new ReceiptedAttempts();
    this.#chains.set(place.gateway, chain);
    const used = chain.take(record, () => recordHash);
    if (used !== undefined) this.#use(used, place);
  }

  /** A decision counts at least what the ledger held of other gateways below its size. */
  #checkLedger({ grantJti, decidedSize, quota }: Decision, place: Place): void {
    if (quota === undefined) return;
    let counted = 0n;
    for (const { agency, gateway, indexes } of this.#uses.get(keyOf(grantJti, quota)) ?? []) {
      if (gateway === place.gateway || agency !== agencyOf(place.gateway)) continue;
      counted += BigInt(indexes.countUpTo(Number(decidedSize) - 1));
    }
    if (quota.usedOnLedger < counted) this.#miscounted(place, quota.usedOnLedger, counted);
  }

  #use({ grantJti, quota }: Decision, place: Place): void {
    if (quota === undefined) return;
    const uses = this.#usesOf(keyOf(grantJti, quota), place.gateway);
    uses.indexes.push(Number(place.index));
    const before = Number(quota.usedInChain + quota.reserved);
    if (before < uses.settled) {
      this.#miscounted(place, BigInt(before), BigInt(uses.settled));
      return;
    }
    if (before > uses.settled) {
      if (uses.ahead.has(before)) uses.alike.set(before, countOf(before, uses) + 1);
      uses.ahead.set(before, Number(place.index) * batchRecordsMax + place.position);
      return;
    }
    uses.settled += 1;
    while (countOf(uses.settled, uses) === 1) {
      uses.ahead.delete(uses.settled);
      uses.settled += 1;
    }
  }

  /** Judges the attempts that left room for others before them, which have all been seen by now. */
  finish(): void {
    for (const uses of [...this.#uses.values()].flat()) {
      let total = uses.settled;
      for (const [before, at] of [...uses.ahead].sort(([a], [b]) => a - b)) {
        total += countOf(before, uses);
        if (total <= before + 1) continue;
        const { gateway } = uses;
        const index = BigInt(Math.floor(at / batchRecordsMax));
        const place = { index, position: at % batchRecordsMax, gateway };
        this.#miscounted(place, BigInt(before), BigInt(total - 1));
      }
    }
  }

  #usesOf(key: string, gateway: string): Uses {
    const all = this.#uses.get(key) ?? [];
    this.#uses.set(key, all);
    const known = all.find((one) => one.gateway === gateway);
    if (known !== undefined) return known;
    const agency = agencyOf(gateway);
    const uses: Uses = {
      agency,
      gateway,
      indexes: new NumberList(),
      settled: 0,
      ahead: new Map(),
      alike: new Map(),
    };
    all.push(uses);
    return uses;
  }

  #miscounted(place: Place, recorded: bigint, counted: bigint): void {
    const fields = { recorded: String(recorded), counted: String(counted) };
    this.#report(findingAt(place, "QUOTA_MISCOUNTED", fields));
  }
}

/** How many of those that are ahead say so. */
function countOf(before: number, { ahead, alike }: Uses): number {
  return ahead.has(before) ? (alike.get(before) ?? 1) : 0;
}

function keyOf(grantJti: string, { periodStart }: { readonly periodStart: bigint }): string {
  return `${grantJti} ${periodStart}`;
}
