/**
 * Every attempt from both sides (RECORDS.md, "What the auditor matches"): what the provider's and the
 * consumer's records say of one (token digest, index) is put together and compared once both have closed it.
 */
import { mapKey } from "../base/bytes.ts";
import { assertInvariant } from "../base/errors.ts";
import type { Progress } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  type Closed,
  Outcome,
} from "../gen/causeway/record/v1/record_pb.ts";
import { formatHandle } from "../record/handle.ts";
import type { GrantEnd } from "./batch-times.ts";
import { type ClosedAttempt, compareSides } from "./compare-sides.ts";
import { findingAt, type Place, type Report } from "./findings.ts";
import type { RecordedCall } from "./recorded-calls.ts";

/** A record of an attempt with its names. */
export interface AttemptRecord {
  readonly place: Place;
  readonly leafHash: Uint8Array;
  readonly recordHash: Uint8Array;
}

/** Numbers and commitments of one segment, copied out of the record's buffer. */
export interface SegmentFacts extends AttemptRecord {
  readonly segment: number;
  readonly framesFirst: bigint;
  readonly framesEnd: bigint;
  readonly request: Uint8Array;
  readonly requestFrames: bigint;
  readonly response: Uint8Array;
}

export interface AcknowledgedSegment extends SegmentFacts {
  readonly check: Check;
  readonly receiptLeaf: Uint8Array;
  readonly receiptPosition: number;
  readonly receiptRecord: Uint8Array;
}

/** How a side closed the attempt. */
export interface ProviderClosing extends AttemptRecord {
  readonly kind: "receipt" | "refusal" | "closed";
}

export interface ConsumerClosing extends AttemptRecord {
  readonly kind: "acknowledgement" | "closed";
  readonly outcome: Outcome | undefined;
  /** Of the provider's refusal or closing, as it was shown. */
  readonly refusal: { readonly leafHash: Uint8Array; readonly position: number } | undefined;
}

/** What a release of this attempt rests on. */
export interface Foundation {
  readonly grant: GrantEnd;
  readonly maxStalenessMs: number;
  readonly window: number;
}

export interface Attempt {
  issuer: string;
  /** As `attemptName` has it: of the provider's statement, otherwise as the consumer says. */
  name: string;
  genuine: boolean;
  /** The first record of the provider; absent while only the consumer has spoken. */
  begun: AttemptRecord | undefined;
  foundation: Foundation | undefined;
  receipts: SegmentFacts[];
  acknowledged: AcknowledgedSegment[];
  providerClosing: ProviderClosing | undefined;
  consumerClosing: ConsumerClosing | undefined;
  /** Both sides were compared; of what they said only the foundation is kept. */
  settled: boolean;
}

export interface AttemptCounts {
  attempts: number;
  matched: number;
  /** Not closed by both sides, and too young to be a finding. */
  open: number;
}

export class Attempts {
  readonly counts: AttemptCounts = { attempts: 0, matched: 0, open: 0 };
  readonly #report: Report;
  readonly #attempts = new Map<string, Attempt>();
  /** By (issuer, xid, attempt). */
  readonly #names = new Map<string, Attempt>();
  /** Handles of refusals that name no attempt: of calls that did not verify. */
  readonly #namelessRefusals = new Set<string>();
  /** Open attempts of providers by the hash of their newest record. */
  readonly #byRecord = new Map<string, Attempt>();

  constructor(report: Report) {
    this.#report = report;
  }

  /** A provider's first record of an attempt; `undefined` when that attempt was used before. */
  begin(call: RecordedCall, record: AttemptRecord, foundation?: Foundation): Attempt | undefined {
    const { tokenDigest, index, issuer, statement, genuine } = call;
    const attempt = this.#attemptOf(tokenDigest, index, issuer);
    const name = attemptName(statement);
    if (attempt.begun !== undefined || attempt.settled) {
      this.#report(findingAt(record.place, "ATTEMPT_REPEATED", { by: "token" }));
      return undefined;
    }
    this.#bindName(attempt, issuer, name, record.place);
    if (attempt.name !== "" && attempt.name !== name) this.#misnamed(attempt, record.place);
    attempt.begun = record;
    attempt.name = name;
    attempt.genuine = genuine;
    attempt.foundation = foundation;
    attempt.issuer = issuer;
    return attempt;
  }

  /** The record of a provider from which its attempt goes on. */
  opened(attempt: Attempt, { recordHash }: AttemptRecord): void {
    this.#byRecord.set(mapKey(recordHash), attempt);
  }

  /** The open attempt that `prevRecord` is the newest record of, in the chain of this gateway. */
  follow(prevRecord: Uint8Array, place: Place): Attempt | undefined {
    const key = mapKey(prevRecord);
    const attempt = this.#byRecord.get(key);
    if (attempt?.begun?.place.gateway === place.gateway) {
      this.#byRecord.delete(key);
      return attempt;
    }
    this.#report(findingAt(place, "PREVIOUS_MISSING"));
    return undefined;
  }

  receipt(attempt: Attempt, record: AttemptRecord, progress: Progress, final: boolean): void {
    const facts = segmentOf(record, progress);
    const before = attempt.receipts.at(-1);
    const follows =
      facts.segment === (before?.segment ?? 0) + 1 &&
      facts.framesFirst === (before?.framesEnd ?? 0n) &&
      facts.framesEnd >= facts.framesFirst;
    if (!follows) this.#report(findingAt(record.place, "SEGMENT_GAP"));
    attempt.receipts = appended(attempt.receipts, facts);
    if (final) this.closeByProvider(attempt, { ...record, kind: "receipt" });
    else this.opened(attempt, record);
  }

  /** A provider's refusal of a call that it could not verify. */
  refuseNameless({ leafHash, place }: AttemptRecord): void {
    this.#namelessRefusals.add(formatHandle(leafHash, place.position));
  }

  closeByProvider(attempt: Attempt, closing: ProviderClosing): void {
    // What was closed is followed by nothing and begun by nothing: `begin` and `follow` see to it.
    const isOpen = attempt.providerClosing === undefined && !attempt.settled;
    assertInvariant(isOpen, "an attempt is closed a second time");
    attempt.providerClosing = closing;
    this.#settle(attempt);
  }

  acknowledge(said: Acknowledgement, record: AttemptRecord): void {
    const { progress, receipt, check } = said;
    if (progress === undefined || receipt === undefined) return;
    const attempt = this.#consumerSide(said, record.place);
    if (attempt === undefined) return;
    const acknowledged = {
      ...segmentOf(record, progress),
      check,
      receiptLeaf: receipt.leafHash.slice(),
      receiptPosition: receipt.position,
      receiptRecord: said.receiptRecord.slice(),
    };
    attempt.acknowledged = appended(attempt.acknowledged, acknowledged);
    if (check !== Check.MATCH) {
      this.#report(findingAt(record.place, "CHECK_FAILED", { check: String(check) }));
    }
    if (!said.final && check === Check.MATCH) return;
    const closing = { ...record, kind: "acknowledgement", outcome: undefined, refusal: undefined };
    attempt.consumerClosing = closing as ConsumerClosing;
    this.#settle(attempt);
  }

  closeByConsumer(said: Closed, record: AttemptRecord): void {
    const attempt = this.#consumerSide(said, record.place);
    if (attempt === undefined) return;
    const { outcome, refusal } = said;
    attempt.consumerClosing = {
      ...record,
      kind: "closed",
      outcome,
      refusal:
        refusal === undefined
          ? undefined
          : { leafHash: refusal.leafHash.slice(), position: refusal.position },
    };
    this.#settle(attempt);
  }

  /** At the end of the ledger: what was never closed, and is old enough to have been. */
  finish(isOverdue: (record: AttemptRecord) => boolean): void {
    for (const attempt of this.#attempts.values()) {
      if (attempt.settled) continue;
      const overdue = this.#unfinished(attempt, isOverdue);
      if (overdue === "open") this.counts.open += 1;
    }
  }

  #unfinished(
    attempt: Attempt,
    isOverdue: (record: AttemptRecord) => boolean,
  ): "open" | "overdue" | "complete" {
    const { begun, providerClosing, consumerClosing } = attempt;
    if (begun === undefined) return this.#unanswered(attempt, isOverdue);
    let state: "open" | "overdue" | "complete" = "complete";
    const miss = (
      record: AttemptRecord,
      code: "PROVIDER_CLOSING_MISSING" | "CONSUMER_CLOSING_MISSING",
    ): void => {
      if (state !== "overdue") state = "open";
      if (!isOverdue(record)) return;
      state = "overdue";
      this.#report(findingAt(record.place, code));
    };
    if (providerClosing === undefined)
      miss(attempt.receipts.at(-1) ?? begun, "PROVIDER_CLOSING_MISSING");
    if (consumerClosing === undefined) miss(providerClosing ?? begun, "CONSUMER_CLOSING_MISSING");
    return state;
  }

  /** A consumer may close alone what the provider has no record of, but not answer a record of it. */
  #unanswered(
    { acknowledged, consumerClosing }: Attempt,
    isOverdue: (record: AttemptRecord) => boolean,
  ): "open" | "overdue" | "complete" {
    const answer = acknowledged[0] ?? consumerClosing;
    if (answer === undefined) return "complete";
    const refusal = consumerClosing?.refusal;
    const isNameless =
      refusal !== undefined &&
      this.#namelessRefusals.has(formatHandle(refusal.leafHash, refusal.position));
    const refers =
      acknowledged.length > 0 ||
      (refusal !== undefined && !isNameless) ||
      consumerClosing?.outcome === Outcome.DISPUTED ||
      consumerClosing?.outcome === Outcome.UNKNOWN_AFTER_RESTART;
    if (!refers) return "complete";
    if (!isOverdue(answer)) return "open";
    this.#report(findingAt(answer.place, "PROVIDER_RECORD_MISSING"));
    return "overdue";
  }

  #consumerSide(said: Acknowledgement | Closed, place: Place): Attempt | undefined {
    const { tokenDigest, index } = said;
    const attempt = this.#attemptOf(tokenDigest, index, place.gateway);
    if (attempt.issuer !== place.gateway) {
      this.#report(findingAt(place, "CLOSING_OF_ANOTHER", { issuer: attempt.issuer }));
      return undefined;
    }
    if (attempt.settled || attempt.consumerClosing !== undefined) {
      this.#report(findingAt(place, "CONSUMER_CLOSED_TWICE"));
      return undefined;
    }
    const name = attemptName(said);
    if (attempt.name === "") {
      attempt.name = name;
      this.#bindName(attempt, place.gateway, name, place);
    } else if (attempt.name !== name) this.#misnamed(attempt, place);
    return attempt;
  }

  #attemptOf(tokenDigest: Uint8Array, index: number, issuer: string): Attempt {
    const key = `${mapKey(tokenDigest)}.${index}`;
    const known = this.#attempts.get(key);
    if (known !== undefined) return known;
    this.counts.attempts += 1;
    const attempt = newAttempt(issuer);
    this.#attempts.set(key, attempt);
    return attempt;
  }

  #bindName(attempt: Attempt, issuer: string, name: string, place: Place): void {
    const key = `${issuer} ${name}`;
    const known = this.#names.get(key);
    if (known === undefined) this.#names.set(key, attempt);
    else if (known !== attempt && attempt.genuine) {
      this.#report(findingAt(place, "ATTEMPT_REPEATED", { by: "xid" }));
    }
  }

  #misnamed(attempt: Attempt, place: Place): void {
    this.#report(findingAt(place, "ATTEMPT_MISNAMED", { issuer: attempt.issuer }));
  }

  #settle(attempt: Attempt): void {
    if (attempt.begun === undefined || !isClosed(attempt)) return;
    compareSides(attempt, this.#report);
    settle(attempt);
    this.counts.matched += 1;
  }
}

/** Drops what nobody asks of an attempt that was compared: a ledger has many. */
function settle(attempt: Attempt): void {
  attempt.settled = true;
  attempt.receipts = noFacts;
  attempt.acknowledged = noFacts;
  attempt.begun = undefined;
  attempt.providerClosing = undefined;
  attempt.consumerClosing = undefined;
}

function isClosed(attempt: Attempt): attempt is ClosedAttempt {
  return attempt.providerClosing !== undefined && attempt.consumerClosing !== undefined;
}

// Shared by all attempts that have none, and never added to.
const noFacts: never[] = [];

function appended<T>(list: T[], one: T): T[] {
  if (list.length === 0) return [one];
  list.push(one);
  return list;
}

function newAttempt(issuer: string): Attempt {
  return {
    issuer,
    name: "",
    genuine: true,
    begun: undefined,
    foundation: undefined,
    receipts: noFacts,
    acknowledged: noFacts,
    providerClosing: undefined,
    consumerClosing: undefined,
    settled: false,
  };
}

/** What names an attempt among those of its issuer: a key of maps, not to be shown. */
export function attemptName(of: { readonly xid: Uint8Array; readonly attempt: number }): string {
  return `${mapKey(of.xid)}/${of.attempt}`;
}

function segmentOf(record: AttemptRecord, progress: Progress): SegmentFacts {
  const { place, leafHash, recordHash } = record;
  const { segment, framesFirst, framesEnd, requestFrames } = progress;
  return {
    place,
    leafHash,
    recordHash,
    segment,
    framesFirst,
    framesEnd,
    requestFrames,
    request: progress.request.slice(),
    response: progress.response.slice(),
  };
}
