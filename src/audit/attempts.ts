/**
 * Every attempt from both sides (RECORDS.md, "What the auditor matches"): what the provider's and the
 * consumer's records say of one (token digest, index) is put together and compared once both have closed it.
 */
import { equalBytes, mapKey } from "../base/bytes.ts";
import { assertInvariant } from "../base/errors.ts";
import type { Progress } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  type Closed,
  Outcome,
  type Receipt,
} from "../gen/causeway/record/v1/record_pb.ts";
import { formatHandle } from "../record/handle.ts";
import {
  type Attempt,
  type AttemptRecord,
  type ConsumerClosing,
  type Foundation,
  type NamedRecord,
  newAttempt,
  type ProviderClosing,
} from "./attempt.ts";
import { convicted, judgeNamed } from "./blame.ts";
import { type ClosedAttempt, compareSides, type Naming } from "./compare-sides.ts";
import { findingAt, type Place, type Report } from "./findings.ts";
import type { RecordedCall } from "./recorded-calls.ts";
import { addAcknowledgement, addReceipt } from "./segments.ts";
import { type IssuedName, SettledAttempts } from "./settled-attempts.ts";

export interface AttemptCounts {
  attempts: number;
  matched: number;
  /** Not closed by both sides, and too young to be a finding. */
  open: number;
}

/** How old records are at the end of the ledger. */
export interface AttemptAge {
  /** What answers the record would stand by now. */
  isOverdue(record: AttemptRecord): boolean;
  /** Its gateway has started again behind it, and has had the time to close what was open. */
  isRestarted(record: AttemptRecord): boolean;
}

type Finished = "open" | "overdue" | "complete";

export class Attempts {
  readonly counts: AttemptCounts = { attempts: 0, matched: 0, open: 0 };
  readonly #report: Report;
  /** Those that one side has not closed. */
  readonly #attempts = new Map<string, Attempt>();
  readonly #settled = new SettledAttempts();
  /** Those by (issuer, xid, attempt). */
  readonly #names = new Map<string, Attempt>();
  /** Handles of refusals that name no attempt: of calls that did not verify. */
  readonly #namelessRefusals = new Set<string>();
  /** Records of providers that follow no open attempt, or begin one a second time, by handle. */
  readonly #strays = new Map<string, AttemptRecord>();
  /** Attempts that a record names in which no call may stand. */
  readonly #mentioned = new Set<string>();
  /** Open attempts of providers by the hash of their newest record. */
  readonly #byRecord = new Map<string, Attempt>();

  readonly #naming: Naming;

  constructor(report: Report) {
    this.#report = report;
    const isNameless: Naming["isNameless"] = ({ leafHash, position }) =>
      this.#namelessRefusals.has(formatHandle(leafHash, position));
    const strayAt = ({ leafHash, position, recordHash }: NamedRecord): string | undefined => {
      const stray = this.#strays.get(formatHandle(leafHash, position));
      if (stray === undefined) return undefined;
      const isOther = recordHash !== undefined && !equalBytes(stray.recordHash, recordHash);
      return isOther ? undefined : stray.place.gateway;
    };
    this.#naming = { report, isNameless, strays: { strayAt } };
  }

  /** A provider's first record of an attempt; `undefined` when that attempt was used before. */
  begin(
    call: RecordedCall,
    record: AttemptRecord,
    rests: { readonly foundation?: Foundation | undefined; readonly boot?: Uint8Array } = {},
  ): Attempt | undefined {
    const { tokenDigest, index, issuer, statement, genuine } = call;
    const attempt = this.#attemptOf(tokenDigest, index, issuer);
    const name = attemptName(statement);
    if (attempt === undefined || attempt.begun !== undefined) {
      this.#report(findingAt(record.place, "ATTEMPT_REPEATED", { by: "token" }));
      this.#stray(record);
      return undefined;
    }
    this.#bindName(attempt, issuer, statement, record.place);
    if (attempt.name !== "" && attempt.name !== name) this.#misnamed(attempt, record.place);
    attempt.begun = record;
    attempt.provider = record.place.gateway;
    attempt.name = name;
    attempt.genuine = genuine;
    if (!statement.open) attempt.request = statement.request.slice();
    attempt.foundation = rests.foundation;
    attempt.boot = rests.boot?.slice();
    attempt.issuer = issuer;
    return attempt;
  }

  /** The record of a provider from which its attempt goes on. */
  opened(attempt: Attempt, { recordHash }: AttemptRecord): void {
    this.#byRecord.set(mapKey(recordHash), attempt);
  }

  /** The open attempt that `prevRecord` is the newest record of, in the chain of this gateway. */
  follow(prevRecord: Uint8Array, record: AttemptRecord): Attempt | undefined {
    const { place } = record;
    const key = mapKey(prevRecord);
    const attempt = this.#byRecord.get(key);
    if (attempt?.begun?.place.gateway === place.gateway) {
      this.#byRecord.delete(key);
      return attempt;
    }
    this.#report(findingAt(place, "PREVIOUS_MISSING"));
    this.#stray(record);
    return undefined;
  }

  #stray(record: AttemptRecord): void {
    this.#strays.set(formatHandle(record.leafHash, record.place.position), record);
  }

  /** A record that may hold no call names an attempt all the same: its consumer has to answer that. */
  mention(tokenDigest: Uint8Array, index: number): void {
    this.#mentioned.add(keyOf(tokenDigest, index));
  }

  receipt(
    attempt: Attempt,
    record: AttemptRecord,
    receipt: Receipt & { readonly progress: Progress },
  ): void {
    addReceipt(attempt, receipt, record, this.#naming);
    if (receipt.final) this.#closeByProvider(attempt, { ...record, kind: "receipt" });
    else this.opened(attempt, record);
  }

  /** A provider's refusal of a call that it could not verify. */
  refuseNameless({ leafHash, place }: AttemptRecord): void {
    this.#namelessRefusals.add(formatHandle(leafHash, place.position));
  }

  /** A provider's refusal of an attempt that it has no record of. */
  refuse(attempt: Attempt, record: AttemptRecord): void {
    this.#closeByProvider(attempt, { ...record, kind: "refusal" });
  }

  /** A provider's closing of an attempt that it has on record. */
  closeByProvider(attempt: Attempt, said: Closed, record: AttemptRecord): void {
    this.#checkFrames(said, attempt.receipts.newest?.framesEnd, record.place);
    this.#closeByProvider(attempt, { ...record, kind: "closed" });
  }

  #closeByProvider(attempt: Attempt, closing: ProviderClosing): void {
    // What was closed is followed by nothing and begun by nothing: `begin` and `follow` see to it.
    const isOpen = attempt.providerClosing === undefined;
    assertInvariant(isOpen, "an attempt is closed a second time");
    attempt.providerClosing = closing;
    this.#settle(attempt);
  }

  acknowledge(said: Acknowledgement, record: AttemptRecord): void {
    const { progress, receipt, check } = said;
    if (progress === undefined || receipt === undefined) return;
    const attempt = this.#consumerSide(said, record.place);
    if (attempt === undefined) return;
    addAcknowledgement(attempt, { ...said, progress, receipt }, record, this.#naming);
    if (!said.final && check === Check.MATCH) return;
    const closing = { ...record, kind: "acknowledgement", outcome: undefined, refusal: undefined };
    attempt.consumerClosing = closing as ConsumerClosing;
    this.#settle(attempt);
  }

  closeByConsumer(said: Closed, record: AttemptRecord): void {
    const attempt = this.#consumerSide(said, record.place);
    if (attempt === undefined) return;
    const { outcome, prevRecord, refusal } = said;
    const { newest } = attempt.acknowledged;
    const before = newest?.recordHash;
    if (before === undefined ? prevRecord.length > 0 : !equalBytes(prevRecord, before)) {
      this.#report(findingAt(record.place, "PREVIOUS_MISSING"));
    }
    this.#checkFrames(said, newest?.framesEnd, record.place);
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

  /** What a side let out, it has receipted or acknowledged before. */
  #checkFrames({ frames }: Closed, framesEnd: bigint | undefined, place: Place): void {
    if (frames > (framesEnd ?? 0n)) {
      this.#report(findingAt(place, "FRAMES_BEYOND_RECORD", { frames: String(frames) }));
    }
  }

  /** At the end of the ledger: what was never closed, and is old enough to have been. */
  finish(age: AttemptAge): void {
    for (const [key, attempt] of this.#attempts) {
      const overdue =
        attempt.begun === undefined
          ? this.#unanswered(attempt, key, age)
          : this.#unfinished(attempt, attempt.begun, age);
      if (overdue === "open") this.counts.open += 1;
    }
  }

  #unfinished(attempt: Attempt, begun: AttemptRecord, age: AttemptAge): Finished {
    const { receipts, acknowledged, providerClosing, consumerClosing } = attempt;
    const newest = receipts.newest ?? begun;
    const found: Finished[] = [];
    // A stream may be silent for long: it has to end once the other side or the own process has ended it.
    if (providerClosing === undefined) {
      const due = isEnded(consumerClosing, newest, age);
      if (due) this.#report(findingAt(newest.place, "PROVIDER_CLOSING_MISSING"));
      found.push(due ? "overdue" : "open");
    }
    if (consumerClosing === undefined) {
      const due = isEnded(providerClosing, acknowledged.newest, age);
      const { place } = providerClosing ?? newest;
      // A token of its own it has to answer; one that it has not signed is the provider's invention.
      const failing = attempt.genuine ? attempt.issuer : begun.place.gateway;
      if (due) this.#report(findingAt(place, "CONSUMER_CLOSING_MISSING"), () => convicted(failing));
      found.push(due ? "overdue" : "open");
    }
    if (this.#missingRecord(attempt, age)) found.push("overdue");
    return found.includes("overdue") ? "overdue" : (found[0] ?? "complete");
  }

  /** A consumer may close alone what the provider has no record of, but not answer a record of it. */
  #unanswered(attempt: Attempt, key: string, age: AttemptAge): Finished {
    const { acknowledged, consumerClosing } = attempt;
    if (acknowledged.newest !== undefined) {
      return this.#missingRecord(attempt, age) ? "overdue" : "open";
    }
    if (consumerClosing === undefined) return "complete";
    const { outcome, refusal, place } = consumerClosing;
    const { isNameless, strays } = this.#naming;
    const named = refusal !== undefined && !isNameless(refusal) ? refusal : undefined;
    const answers =
      outcome === Outcome.DISPUTED || outcome === Outcome.UNKNOWN_AFTER_RESTART
        ? !this.#mentioned.has(key)
        : named !== undefined;
    if (!answers) return "complete";
    if (!age.isOverdue(consumerClosing)) return "open";
    // What it disputes or has forgotten it has found final on the ledger, or it lies.
    const judge =
      named === undefined
        ? () => convicted(place.gateway)
        : judgeNamed(named, attempt, strays, true);
    this.#report(findingAt(place, "PROVIDER_RECORD_MISSING"), judge);
    return "overdue";
  }

  /** The consumer answers a receipt that is not on the ledger: the oldest one says it for all. */
  #missingRecord(attempt: Attempt, age: AttemptAge): boolean {
    const [oldest] = attempt.acknowledged.waiting?.values() ?? [];
    if (oldest === undefined || !age.isOverdue(oldest)) return false;
    const { place, receipt, check } = oldest;
    const judge = judgeNamed(receipt, attempt, this.#naming.strays, check === Check.MATCH);
    this.#report(findingAt(place, "PROVIDER_RECORD_MISSING"), judge);
    return true;
  }

  #consumerSide(said: Acknowledgement | Closed, place: Place): Attempt | undefined {
    const { tokenDigest, index } = said;
    const attempt = this.#attemptOf(tokenDigest, index, place.gateway);
    const issuer = attempt?.issuer ?? (this.#settled.issuerOf(tokenDigest, index) as string);
    if (issuer !== place.gateway) {
      this.#report(findingAt(place, "CLOSING_OF_ANOTHER", { issuer }));
      return undefined;
    }
    if (attempt === undefined || attempt.consumerClosing !== undefined) {
      this.#report(findingAt(place, "CONSUMER_CLOSED_TWICE"));
      return undefined;
    }
    const name = attemptName(said);
    if (attempt.name === "") {
      attempt.name = name;
      this.#bindName(attempt, place.gateway, said, place);
    } else if (attempt.name !== name) this.#misnamed(attempt, place);
    return attempt;
  }

  /** The attempt, begun where no record has named it; `undefined` once it is settled. */
  #attemptOf(tokenDigest: Uint8Array, index: number, issuer: string): Attempt | undefined {
    const key = keyOf(tokenDigest, index);
    const known = this.#attempts.get(key);
    if (known !== undefined) return known;
    if (this.#settled.issuerOf(tokenDigest, index) !== undefined) return undefined;
    this.counts.attempts += 1;
    const attempt = newAttempt({ tokenDigest, index }, issuer);
    this.#attempts.set(key, attempt);
    return attempt;
  }

  #bindName(attempt: Attempt, issuer: string, of: AttemptNumbers, place: Place): void {
    const name = { issuer, xid: of.xid.slice(), attempt: of.attempt };
    const key = issuedKey(name);
    const known = this.#names.get(key);
    if (known === attempt) return;
    if (known === undefined && !this.#settled.hasName(name)) {
      this.#names.set(key, attempt);
      attempt.names.push(name);
    } else if (attempt.genuine) {
      this.#report(findingAt(place, "ATTEMPT_REPEATED", { by: "xid" }));
    }
  }

  #misnamed(attempt: Attempt, place: Place): void {
    this.#report(findingAt(place, "ATTEMPT_MISNAMED", { issuer: attempt.issuer }));
  }

  #settle(attempt: Attempt): void {
    if (attempt.begun === undefined || !isClosed(attempt)) return;
    compareSides(attempt, this.#naming);
    const { tokenDigest, index, issuer, names } = attempt;
    this.#settled.add({ tokenDigest, index }, issuer, names);
    this.#attempts.delete(keyOf(tokenDigest, index));
    for (const name of names) this.#names.delete(issuedKey(name));
    this.counts.matched += 1;
  }
}

function isClosed(attempt: Attempt): attempt is ClosedAttempt {
  return attempt.providerClosing !== undefined && attempt.consumerClosing !== undefined;
}

/** Whether a side has to have closed: the other did, or the process that has it on record is gone. */
function isEnded(
  other: AttemptRecord | undefined,
  own: AttemptRecord | undefined,
  age: AttemptAge,
): boolean {
  return (
    (other !== undefined && age.isOverdue(other)) || (own !== undefined && age.isRestarted(own))
  );
}

function keyOf(tokenDigest: Uint8Array, index: number): string {
  return `${mapKey(tokenDigest)}.${index}`;
}

function issuedKey(name: IssuedName): string {
  return `${name.issuer} ${attemptName(name)}`;
}

/** What names an attempt among those of its issuer. */
type AttemptNumbers = Omit<IssuedName, "issuer">;

/** A key of maps, not to be shown. */
export function attemptName(of: AttemptNumbers): string {
  return `${mapKey(of.xid)}/${of.attempt}`;
}
