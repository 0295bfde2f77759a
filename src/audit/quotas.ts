/**
 * Quotas counted again. What the agency's other gateways had on the ledger below the decided size is
 * known exactly. For the own chain it is used that the attempts of one period were decided one after
 * another, and that each decision counted or reserved those before it: of the receipted ones, at most m
 * can say that fewer than m stood before them.
 */
import { agencyOf } from "../base/ids.ts";
import type { Decision } from "../gen/causeway/record/v1/parts_pb.ts";
import { ReceiptedAttempts } from "../policy/receipted-attempts.ts";
import type { LedgerRecord } from "../record/record.ts";
import type { RegistryState } from "../registry/state.ts";
import { findingAt, type Place, type Report } from "./findings.ts";

/** Receipted attempts of one gateway under one grant in one period. */
interface Uses {
  readonly agency: string;
  readonly gateway: string;
  /** After each batch that has some: its index, and how many there are up to it. */
  readonly counts: { readonly index: bigint; total: bigint }[];
  /** So many attempts say 0, 1, 2 and so on, one each: no further one may say less. */
  settled: bigint;
  /** The other ones, by what they say. */
  readonly ahead: Map<bigint, { count: bigint; place: Place }>;
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
    for (const { agency, gateway, counts } of this.#uses.get(keyOf(grantJti, quota)) ?? []) {
      if (gateway === place.gateway || agency !== agencyOf(place.gateway)) continue;
      counted += counts.findLast(({ index }) => index < decidedSize)?.total ?? 0n;
    }
    if (quota.usedOnLedger < counted) this.#miscounted(place, quota.usedOnLedger, counted);
  }

  #use({ grantJti, quota }: Decision, place: Place): void {
    if (quota === undefined) return;
    const uses = this.#usesOf(keyOf(grantJti, quota), place.gateway);
    const newest = uses.counts.at(-1);
    if (newest?.index === place.index) newest.total += 1n;
    else uses.counts.push({ index: place.index, total: (newest?.total ?? 0n) + 1n });
    const before = quota.usedInChain + quota.reserved;
    if (before < uses.settled) {
      this.#miscounted(place, before, uses.settled);
      return;
    }
    if (before > uses.settled) {
      const { count } = uses.ahead.get(before) ?? { count: 0n };
      uses.ahead.set(before, { count: count + 1n, place });
      return;
    }
    uses.settled += 1n;
    for (let next = uses.ahead.get(uses.settled); next?.count === 1n; ) {
      uses.ahead.delete(uses.settled);
      uses.settled += 1n;
      next = uses.ahead.get(uses.settled);
    }
  }

  /** Judges the attempts that left room for others before them, which have all been seen by now. */
  finish(): void {
    for (const { settled, ahead } of [...this.#uses.values()].flat()) {
      let total = settled;
      for (const [before, { count, place }] of [...ahead].sort(([a], [b]) => (a < b ? -1 : 1))) {
        total += count;
        if (total > before + 1n) this.#miscounted(place, before, total - 1n);
      }
    }
  }

  #usesOf(key: string, gateway: string): Uses {
    const all = this.#uses.get(key) ?? [];
    this.#uses.set(key, all);
    const known = all.find((one) => one.gateway === gateway);
    if (known !== undefined) return known;
    const agency = agencyOf(gateway);
    const uses: Uses = { agency, gateway, counts: [], settled: 0n, ahead: new Map() };
    all.push(uses);
    return uses;
  }

  #miscounted(place: Place, recorded: bigint, counted: bigint): void {
    const fields = { recorded: String(recorded), counted: String(counted) };
    this.#report(findingAt(place, "QUOTA_MISCOUNTED", fields));
  }
}

function keyOf(grantJti: string, { periodStart }: { readonly periodStart: bigint }): string {
  return `${grantJti} ${periodStart}`;
}
