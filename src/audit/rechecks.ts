/**
 * Failed re-checks: whether the ledger holds what each of them names. What a provider had accepted, or had seen
 * included, may get its place later than the refusal or closing that names it: so they are judged at the end.
 */
import { toHex } from "../base/bytes.ts";
import { agencyOf, cityOf } from "../base/ids.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import type { Address, Fact } from "../gen/causeway/record/v1/parts_pb.ts";
import { formatAddress } from "../record/handle.ts";
import { isValid } from "../registry/standing.ts";
import type { FactAddress, RegistryState, Standing } from "../registry/state.ts";
import type { RecordFact } from "../registry/verify-batch.ts";
import type { AttemptRecord } from "./attempt.ts";
import type { FinalSizes } from "./final-sizes.ts";
import { findingAt, type Report } from "./findings.ts";
import type { FoldedBatch } from "./ledger-fold.ts";

/** A failed re-check, with what its attempt rests on. */
export interface NamedRecheck {
  readonly record: AttemptRecord;
  readonly reason: string;
  readonly fact: Fact | undefined;
  readonly grantJti: string;
  readonly service: string;
  readonly consumerGateway: string;
  /** Of the service, as the decision has seen it. */
  readonly maxStalenessMs: number | undefined;
}

/** What the whole ledger says. */
interface WholeLedger {
  readonly state: RegistryState;
  readonly finals: Pick<FinalSizes, "timeOf">;
  readonly skewMs: number;
}

/** A proof that has frozen a chain, and where its next epoch was opened. */
interface Freeze {
  readonly address: FactAddress;
  lifted: bigint | undefined;
}

export class Rechecks {
  readonly #named: NamedRecheck[] = [];
  /**
   * What each record of governance takes or says, by its hash in hex. One that is void counts as well: another,
   * which was not known where it was accepted, may have taken the same before it.
   */
  readonly #says = new Map<string, string>();
  /** By gateway, in the order of the ledger. */
  readonly #freezes = new Map<string, Freeze[]>();

  takeGovernance({
    index,
    batch,
    applied,
  }: Pick<FoldedBatch, "index" | "batch" | "applied">): void {
    for (const [position, fact] of batch.facts.entries()) {
      const says = whatSays(fact);
      if (says !== undefined)
        this.#says.set(toHex(batch.recordHashes[position] as Uint8Array), says);
    }
    for (const { position, results } of applied.effects.effects) {
      for (const { kind, subject } of results) {
        if (kind === ResultKind.CHAIN_FROZEN) this.#frozen(subject, { index, position });
        if (kind === ResultKind.EPOCH_OPENED) this.#lifted(subject, index);
      }
    }
  }

  add(named: NamedRecheck): void {
    this.#named.push(named);
  }

  finish(
    options: WholeLedger & {
      readonly isOverdue: (record: AttemptRecord) => boolean;
      readonly report: Report;
    },
  ): void {
    const { isOverdue, report } = options;
    for (const named of this.#named) {
      if (this.#isFounded(named, options) || !isOverdue(named.record)) continue;
      report(findingAt(named.record.place, "RECHECK_UNFOUNDED"));
    }
  }

  #frozen(gateway: string, address: FactAddress): void {
    const freeze = { address, lifted: undefined };
    const known = this.#freezes.get(gateway);
    if (known === undefined) this.#freezes.set(gateway, [freeze]);
    else known.push(freeze);
  }

  #lifted(gateway: string, index: bigint): void {
    const newest = this.#freezes.get(gateway)?.at(-1);
    if (newest !== undefined) newest.lifted ??= index;
  }

  #isFounded(named: NamedRecheck, ledger: WholeLedger): boolean {
    const { reason, grantJti, service, consumerGateway, record } = named;
    const { state } = ledger;
    const grant = state.grants.get(grantJti)?.standing;
    const gateways = [consumerGateway, record.place.gateway];
    switch (reason) {
      case "GRANT_MISSING":
        // What a process has folded reaches to what it has seen, and a grant that was taken away is still known there.
        return grant === undefined || grant.since >= record.header.seenSize;
      case "GRANT_REVOKED":
        return this.#holds(named, [`revocation ${grantJti}`], (at) => isAt(grant?.until, at));
      case "GRANT_EXPIRED": {
        const isOver = grant?.exp !== undefined && sealedAtMs(record) >= grant.exp * 1000;
        return isOver && isNamed(named, grant);
      }
      case "STALE_REPLICA":
        return mayBeStale(named, ledger) && isNamed(named, grant);
      case "CHAIN_FROZEN":
        return this.#holds(
          named,
          gateways.map((gateway) => `freeze ${gateway}`),
          (at) => gateways.some((gateway) => this.#isFrozen(gateway, at, record)),
        );
      case "MEMBER_NOT_ACTIVE": {
        const members = gateways.flatMap((gateway) => membersOf(gateway, state));
        return this.#hasFallen(named, members, state);
      }
      case "SERVICE_UNKNOWN":
        return this.#hasFallen(named, [[service, state.services.get(service)]], state);
      default:
        // No re-check fails for any other reason.
        return false;
    }
  }

  /** By its record it is any of what is said; by its address what `isAddressed` tells. */
  #holds(
    { fact }: NamedRecheck,
    said: readonly string[],
    isAddressed: (at: Address) => boolean,
  ): boolean {
    const name = fact?.name;
    switch (name?.case) {
      case "record":
        return said.includes(this.#says.get(toHex(name.value.hash)) ?? "");
      case "address":
        return isAddressed(name.value);
      default:
        return false;
    }
  }

  #hasFallen(named: NamedRecheck, subjects: readonly Subject[], state: RegistryState): boolean {
    const said = subjects.map(([id]) => `statement ${id}`);
    const grantAddress = formatted(state.grants.get(named.grantJti)?.standing.address);
    return this.#holds(named, said, (at) =>
      subjects.some(([, facts]) => {
        const { seenSize } = named.record.header;
        const seen = facts?.findLast(({ standing }) => standing.since < seenSize)?.standing;
        // Where nothing of it is seen there is nothing to name but the grant.
        if (seen === undefined) return formatted(at) === grantAddress;
        if (isAt(seen.until, at)) return true;
        return (
          isAt(seen.address, at) && !isValid(seen, Math.floor(sealedAtMs(named.record) / 1000))
        );
      }),
    );
  }

  /** Whether the proof at this address had frozen the chain, and no new epoch was seen by then. */
  #isFrozen(gateway: string, at: Address, { header }: AttemptRecord): boolean {
    const freeze = this.#freezes.get(gateway)?.find(({ address }) => isAt(address, at));
    if (freeze === undefined) return false;
    return freeze.lifted === undefined || freeze.lifted >= header.seenSize;
  }
}

/**
 * Whether the newest checkpoint that a provider had seen can have been older than its service allows. How often that
 * size was cosigned again is not on the ledger: but never before the first time, give or take the clocks.
 */
function mayBeStale(
  { maxStalenessMs, record }: NamedRecheck,
  { finals, skewMs }: WholeLedger,
): boolean {
  const seenMs = finals.timeOf(record.header.seenSize);
  if (seenMs === undefined || maxStalenessMs === undefined) return true;
  return sealedAtMs(record) - seenMs > maxStalenessMs - skewMs;
}

/** Whether the fact is the grant itself: what expires, or rests on what is too old, is taken away by nothing else. */
function isNamed({ fact }: NamedRecheck, grant: Standing | undefined): boolean {
  // A grant that is on no ledger is for the decision to answer.
  if (grant === undefined) return true;
  return fact?.name.case === "address" && isAt(grant.address, fact.name.value);
}

function sealedAtMs({ header }: AttemptRecord): number {
  return Number(header.sealedAt);
}

type Subject = readonly [id: string, facts: readonly { readonly standing: Standing }[] | undefined];

function membersOf(gateway: string, state: RegistryState): readonly Subject[] {
  const agency = agencyOf(gateway);
  const city = cityOf(agency);
  return [
    [city, state.cities.get(city)],
    [agency, state.agencies.get(agency)],
    [gateway, state.gateways.get(gateway)],
  ];
}

function whatSays(fact: RecordFact): string | undefined {
  switch (fact.kind) {
    case "statement": {
      const { statement } = fact.said;
      if (statement.name === "revocation") return `revocation ${statement.body.grant}`;
      return `statement ${statement.claims.sub}`;
    }
    case "equivocation":
      return fact.equivocation.of === "chain" ? `freeze ${fact.equivocation.gateway}` : undefined;
    case "void":
      return undefined;
  }
}

function isAt(address: FactAddress | undefined, at: Address): boolean {
  return address?.index === at.index && address.position === at.position;
}

function formatted(address: FactAddress | undefined): string | undefined {
  return address && formatAddress(address.index, address.position);
}
