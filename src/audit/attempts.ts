/**
 * Every attempt from both sides (RECORDS.md, "What the auditor matches"): what the provider's and the
 * consumer's records say of one (token digest, index) is put together and compared once both have closed it.
 */
import { equalBytes, mapKey } from "../base/bytes.ts";
import { DigestTable } from "../base/digest-table.ts";
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
import { convicted } from "./blame.ts";
import { type ClosedAttempt, compareSides, type Naming } from "./compare-sides.ts";
import { findingAt, type Place, type Report } from "./findings.ts";
import type { RecordedCall } from "./recorded-calls.ts";
import { addAcknowledgement, addReceipt } from "./segments.ts";
import { type IssuedName, SettledAttempts } from "./settled-attempts.ts";
import { type AttemptAge, judgeUnanswered, judgeUnfinished } from "./unfinished.ts";

export interface AttemptCounts {
  attempts: number;
  matched: number;
  /** Not closed by both sides, and too young to be a finding. */
  open: number;
}

export class Attempts {
  readonly counts: AttemptCounts = { attempts: 0, matched: 0, open: 0 };
  readonly #report: Report;
  /** Those that a provider has on record and one side has not closed. */
  readonly #attempts = new Map<string, Attempt>();
  /** Those of which no provider's record has said yet whose they are: each gateway that speaks of one has its own. */
  readonly #unbegun = new Map<string, Attempt>();
  readonly #settled = new SettledAttempts();
  /** Those by (issuer, xid, attempt). */
  readonly #names = new Map<string, Attempt>();
  /** Refusals that name no attempt, by handle: of calls that did not verify. */
  readonly #namelessRefusals = new DigestTable();
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
      this.#namelessRefusals.get(leafHash, position) !== undefined;
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
    const { tokenDigest, index, issuer, statement, genuine, isOwn } = call;
    const { place } = record;
    // Whoever gets hold of a token uses nothing up with it that is another's.
    if (!isOwn) {
      this.mention(tokenDigest, index);
      this.#stray(record);
      return undefined;
    }
    if (this.#issuerOf(tokenDigest, index) !== undefined) {
      const failing = place.gateway;
      this.#report(findingAt(place, "ATTEMPT_REPEATED", { by: "token" }), () => convicted(failing));
      this.#stray(record);
      return undefined;
    }
    const attempt = this.#spokenOf(tokenDigest, index, issuer);
    const key = keyOf(tokenDigest, index);
    this.#unbegun.delete(spokenKey(key, issuer));
    this.#attempts.set(key, attempt);
    const name = attemptName(statement);
    // What nobody has signed takes nobody's name.
    if (genuine) this.#bindName(attempt, statement, place);
    if (attempt.name !== "" && attempt.name !== name) {
      this.#misnamed(attempt, place, genuine ? issuer : place.gateway);
    }
    attempt.begun = record;
    attempt.provider = place.gateway;
    attempt.name = name;
    attempt.genuine = genuine;
    if (!statement.open) attempt.request = statement.request.slice();
    attempt.foundation = rests.foundation;
    attempt.boot = rests.boot?.slice();
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
    this.#namelessRefusals.set(leafHash, place.position, 0);
  }

  /** A provider's refusal of an attempt that it has no record of. */
  refuse(attempt: Attempt, record: AttemptRecord): void {
    this.#closeByProvider(attempt, { ...record, kind: "refusal" });
  }

  /** A provider's closing of an attempt that it has on record. */
  closeByProvider(attempt: Attempt, said: Closed, record: AttemptRecord): void {
    if (attempt.name !== attemptName(said)) {
      this.#misnamed(attempt, record.place, record.place.gateway);
    }
    this.#checkStart(said, attempt.boot, record);
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
    this.#checkStart(said, newest?.header.boot, record);
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

  /** What a process has left is closed for that alone by the one after it, and nothing else is closed for it. */
  #checkStart({ outcome }: Closed, begun: Uint8Array | undefined, record: AttemptRecord): void {
    if (begun === undefined) return;
    const { header, place } = record;
    const saysRestarted =
      outcome === Outcome.GATEWAY_RESTARTED || outcome === Outcome.UNKNOWN_AFTER_RESTART;
    if (saysRestarted === !equalBytes(begun, header.boot)) return;
    this.#report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "outcome" }));
  }

  /** What a side let out, it has receipted or acknowledged before. */
  #checkFrames({ frames }: Closed, framesEnd: bigint | undefined, place: Place): void {
    if (frames > (framesEnd ?? 0n)) {
      this.#report(findingAt(place, "FRAMES_BEYOND_RECORD", { frames: String(frames) }));
    }
  }

  /** At the end of the ledger: what was never closed, and is old enough to have been. */
  finish(age: AttemptAge): void {
    for (const attempt of this.#attempts.values()) {
      const begun = attempt.begun as AttemptRecord;
      if (judgeUnfinished(attempt, begun, age, this.#naming) === "open") this.counts.open += 1;
    }
    for (const attempt of this.#unbegun.values()) {
      if (this.#ofAnother(attempt)) continue;
      const { tokenDigest, index } = attempt;
      const isMentioned = this.#mentioned.has(keyOf(tokenDigest, index));
      const end = judgeUnanswered(attempt, age, { ...this.#naming, isMentioned });
      if (end === "open") this.counts.open += 1;
    }
  }

  /** Whether a gateway spoke of an attempt that, as is known now, another one has signed the token of. */
  #ofAnother({ acknowledged, consumerClosing, index, tokenDigest }: Attempt): boolean {
    const issuer = this.#issuerOf(tokenDigest, index);
    const said = acknowledged.newest ?? consumerClosing;
    if (issuer === undefined || said === undefined) return false;
    this.#report(findingAt(said.place, "CLOSING_OF_ANOTHER", { issuer }));
    return true;
  }

  #consumerSide(said: Acknowledgement | Closed, place: Place): Attempt | undefined {
    const { tokenDigest, index } = said;
    const issuer = this.#issuerOf(tokenDigest, index);
    if (issuer !== undefined && issuer !== place.gateway) {
      this.#report(findingAt(place, "CLOSING_OF_ANOTHER", { issuer }));
      return undefined;
    }
    const attempt =
      issuer === undefined
        ? this.#spokenOf(tokenDigest, index, place.gateway)
        : this.#attempts.get(keyOf(tokenDigest, index));
    if (attempt === undefined || attempt.consumerClosing !== undefined) {
      this.#report(findingAt(place, "CONSUMER_CLOSED_TWICE"));
      return undefined;
    }
    const name = attemptName(said);
    const { genuine, provider } = attempt;
    const isUnnamed = attempt.name === "";
    if (isUnnamed) attempt.name = name;
    // A provider that has another statement on record than was signed has misnamed it.
    else if (attempt.name !== name) {
      this.#misnamed(attempt, place, genuine ? place.gateway : (provider ?? place.gateway));
    }
    // What is disputed is called what another's record calls it.
    const isOwnName = !("outcome" in said) || said.outcome !== Outcome.DISPUTED;
    if (isOwnName && (isUnnamed || !genuine)) this.#bindName(attempt, said, place);
    return attempt;
  }

  /** Who issued the token of an attempt that a provider has on record. */
  #issuerOf(tokenDigest: Uint8Array, index: number): string | undefined {
    const known = this.#attempts.get(keyOf(tokenDigest, index));
    return known?.issuer ?? this.#settled.issuerOf(tokenDigest, index);
  }

  /** An attempt that no provider has on record, as this gateway speaks of it. */
  #spokenOf(tokenDigest: Uint8Array, index: number, gateway: string): Attempt {
    const key = spokenKey(keyOf(tokenDigest, index), gateway);
    const known = this.#unbegun.get(key);
    if (known !== undefined) return known;
    this.counts.attempts += 1;
    const attempt = newAttempt({ tokenDigest, index }, gateway);
    this.#unbegun.set(key, attempt);
    return attempt;
  }

  #bindName(attempt: Attempt, of: AttemptNumbers, place: Place): void {
    const { issuer } = attempt;
    const name = { issuer, xid: of.xid.slice(), attempt: of.attempt };
    const key = issuedKey(name);
    const known = this.#names.get(key);
    if (known === attempt) return;
    if (known === undefined && !this.#settled.hasName(name)) {
      this.#names.set(key, attempt);
      attempt.names.push(name);
    } else {
      // It is the issuer who has signed or said both.
      this.#report(findingAt(place, "ATTEMPT_REPEATED", { by: "xid" }), () => convicted(issuer));
    }
  }

  #misnamed({ issuer }: Attempt, place: Place, failing: string): void {
    this.#report(findingAt(place, "ATTEMPT_MISNAMED", { issuer }), () => convicted(failing));
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

function keyOf(tokenDigest: Uint8Array, index: number): string {
  return `${mapKey(tokenDigest)}.${index}`;
}

/** Of what a gateway says of an attempt. */
function spokenKey(key: string, gateway: string): string {
  return `${key} ${gateway}`;
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
