/** Gateways of one agency that give out one quota, with a journal each and one ledger, without keys or disks. */
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { QuotaUsageCounter } from "../../gateway/quota-usage.ts";
import { Quotas } from "../../src/audit/quotas.ts";
import type { Finding } from "../../src/audit/findings.ts";
import type { QuotaRule } from "../../src/credential/statements.ts";
import {
  type Begin,
  BeginSchema,
  DecisionSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import type { IncludedBatch } from "../../src/ledger/ports.ts";
import { hasRoom, quotaOf, type Reservation } from "../../src/policy/quota.ts";
import { type CreatedBatch, sealBatch } from "../../src/record/batch.ts";
import {
  encodeRecord,
  type LedgerRecord,
  openRecord,
  recordHash,
} from "../../src/record/record.ts";
import type { GrantFact, RegistryState } from "../../src/registry/state.ts";
import { begin as anyBegin, progress as anyProgress } from "./parts.ts";
import { testSigner } from "./records.ts";

export const agency = "hangzhou/civil-affairs";
const nbf = 1_800_000_000;
const jti = "019a0000-0000-7000-8000-000000000001";
const [begin] = fc.sample(anyBegin, { numRuns: 1, seed: 7 }) as [Begin];
const [progress] = fc.sample(anyProgress, { numRuns: 1, seed: 7 });
const signer = testSigner(1);

interface Permit {
  readonly begin: Begin;
  readonly reservation: Reservation;
  /** Record hash of its Opened. */
  readonly opened: Uint8Array | undefined;
}

interface Gateway {
  readonly id: string;
  counter: QuotaUsageCounter;
  readonly chain: JournalBatch[];
  readonly permits: Permit[];
}

export class QuotaNetwork {
  readonly gateways: readonly Gateway[];
  readonly ledger: IncludedBatch[] = [];
  /** Receipts by gateway and period. */
  readonly receipts: { readonly gateway: string; readonly period: bigint }[] = [];
  atS: number = nbf;
  final = 0;
  readonly #waiting: { readonly gateway: string; readonly batch: CreatedBatch }[] = [];
  readonly #listeners: Set<(batch: IncludedBatch) => void> = new Set();
  readonly #grant: GrantFact;

  constructor(rule: QuotaRule, gateways: number) {
    this.#grant = {
      jti,
      request: jti,
      consumer: "shenzhen/finance",
      provider: agency,
      detail: {
        type: "causeway-service",
        service: `${agency}/divisions`,
        methods: ["/a.B/C"],
        purposes: ["p"],
        legal_basis: "L",
        quota: rule,
      },
      standing: { address: { index: 0n, position: 0 }, since: 0n, nbf, exp: nbf + 10_000_000 },
    };
    const ids = Array.from({ length: gateways }, (_, i) => `${agency}/gw${i + 1}`);
    this.gateways = ids.map((id) => {
      const chain: JournalBatch[] = [];
      return { id, chain, permits: [], counter: this.#counterOf(id, chain) };
    });
  }

  /** Decides one attempt; `false` when the quota has no room. A method that writes opens it on record. */
  permit(of: number, writes: boolean): boolean {
    const gateway = this.#gateway(of);
    const quota = quotaOf(this.#grant, this.atS, gateway.counter);
    if (quota === undefined || !hasRoom(quota)) return false;
    const decision = create(DecisionSchema, {
      ...(begin.decision as object),
      decidedSize: BigInt(this.final),
      evaluatedAt: BigInt(this.atS),
      grantJti: jti,
      quota,
    });
    const begun = create(BeginSchema, { ...(begin as object), decision } as never);
    const opened = writes
      ? this.#seal(
          gateway,
          create(RecordSchema, { body: { case: "opened", value: { begin: begun } } }),
        )
      : undefined;
    const reservation = gateway.counter.reserve(jti, Number(quota.periodStart));
    gateway.permits.push({ begin: begun, reservation, opened });
    return true;
  }

  /** Ends an attempt that is under way, with a receipt or without. A stream has a second receipt. */
  end(of: number, which: number, outcome: "receipt" | "stream" | "failed"): void {
    const gateway = this.#gateway(of);
    const [permit] = gateway.permits.splice(which % Math.max(1, gateway.permits.length), 1);
    if (permit === undefined) return;
    const receipted = outcome !== "failed";
    if (receipted) {
      const start =
        permit.opened === undefined
          ? ({ case: "begin", value: permit.begin } as const)
          : ({ case: "prevRecord", value: { hash: permit.opened } } as const);
      const hash = this.#receipt(gateway, start);
      if (outcome === "stream") this.#receipt(gateway, { case: "prevRecord", value: { hash } });
      const period = permit.begin.decision?.quota?.periodStart ?? 0n;
      this.receipts.push({ gateway: gateway.id, period });
    } else if (permit.opened !== undefined) {
      const value = {
        side: 1,
        xid: new Uint8Array(16),
        attempt: 1,
        prevRecord: permit.opened,
        outcome: 1,
      };
      this.#seal(gateway, create(RecordSchema, { body: { case: "closed", value } } as never));
    }
    permit.reservation.end(receipted);
  }

  /** The process starts again: what was under way is gone, what is durable is read. */
  restart(of: number): void {
    const gateway = this.#gateway(of);
    gateway.permits.length = 0;
    gateway.counter.close();
    gateway.counter = this.#counterOf(gateway.id, gateway.chain);
  }

  /** Includes what waits. */
  include(count: number): void {
    for (const { batch } of this.#waiting.splice(0, count)) {
      const included = { ...batch, index: BigInt(this.ledger.length) } as unknown as IncludedBatch;
      this.ledger.push(included);
      for (const listener of this.#listeners) listener(included);
    }
  }

  finalise(): void {
    this.final = this.ledger.length;
  }

  usage(of: number): ReturnType<QuotaUsageCounter["usage"]> {
    const { quota } = this.#grant.detail;
    const period =
      nbf + Math.floor((this.atS - nbf) / (quota?.period_s ?? 1)) * (quota?.period_s ?? 1);
    return this.#gateway(of).counter.usage(jti, period);
  }

  /** What the auditor says of the ledger, after `change` to each record. */
  audit(
    change: (record: LedgerRecord, gateway: string) => void = () => undefined,
  ): readonly Finding[] {
    const findings: Finding[] = [];
    const quotas = new Quotas((finding) => findings.push(finding));
    for (const { header, index, records } of this.ledger) {
      for (const [position, bytes] of records.entries()) {
        const record = openRecord(bytes);
        change(record, header.gateway);
        const place = { index, position, gateway: header.gateway };
        quotas.take(record, { place, recordHash: recordHash(bytes) }, this.#state());
      }
    }
    quotas.finish();
    return findings;
  }

  #gateway(of: number): Gateway {
    return this.gateways[of % this.gateways.length] as Gateway;
  }

  #receipt(gateway: Gateway, start: object): Uint8Array {
    const value = { start, progress, final: false, connector: 1, upstreamMsBucket: 1 };
    return this.#seal(gateway, create(RecordSchema, { body: { case: "receipt", value } } as never));
  }

  /** A batch of one record: durable at once, on the ledger when it is included. */
  #seal(gateway: Gateway, record: LedgerRecord): Uint8Array {
    const bytes = encodeRecord(record);
    const batch = sealBatch(
      {
        kind: "evidence",
        network: new Uint8Array(32),
        gateway: gateway.id,
        epoch: 0n,
        boot: new Uint8Array(16).fill(1),
        seq: BigInt(gateway.chain.length),
        prev: gateway.chain.at(-1)?.leafHash ?? new Uint8Array(32),
        seen: { size: 0n, root: emptyRoot },
        firstAtMs: this.atS * 1000,
        sealedAtMs: this.atS * 1000,
      },
      [bytes],
      signer,
    );
    gateway.chain.push({ ...batch, number: gateway.chain.length } as unknown as JournalBatch);
    this.#waiting.push({ gateway: gateway.id, batch });
    return recordHash(bytes);
  }

  #state(): RegistryState {
    return {
      size: BigInt(this.ledger.length),
      grants: new Map([[jti, this.#grant]]),
      network: undefined,
    } as unknown as RegistryState;
  }

  #counterOf(gateway: string, chain: readonly JournalBatch[]): QuotaUsageCounter {
    const checkpoint = (size: number): never =>
      ({ size: BigInt(size), timeMs: this.#sealedAtMs(size) }) as never;
    return new QuotaUsageCounter({
      gateway,
      startedAtMs: this.atS * 1000,
      journal: {
        newest: ({ countMax, before = chain.length }) =>
          chain.slice(Math.max(0, before - countMax), before).toReversed(),
      },
      replica: {
        state: () => this.#state(),
        final: () => checkpoint(this.final),
        batch: (index) => this.ledger[Number(index)],
        frozenNote: (index) => (index < this.final ? checkpoint(Number(index) + 1) : undefined),
        onIncluded: (listener) => {
          this.#listeners.add(listener);
          return () => this.#listeners.delete(listener);
        },
      },
    });
  }

  /** A size was final no earlier than its newest leaf was sealed. */
  #sealedAtMs(size: number): number {
    const sealed = this.ledger.slice(0, size).map(({ header }) => Number(header.sealedAt));
    return Math.max(0, ...sealed);
  }
}
