/** What each evidence record must satisfy on its own, and what it adds to its attempt. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { callTokenDigest } from "../credential/call-token.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import {
  type Begin,
  type CallStatement,
  type Decision,
  DecisionSchema,
  type Progress,
  Verdict,
} from "../gen/causeway/record/v1/parts_pb.ts";
import {
  type Closed,
  type Opened,
  type Receipt,
  type ReceiptMissing,
  type Recheck,
  type Refusal,
  Side,
} from "../gen/causeway/record/v1/record_pb.ts";
import { verifyRecordProof } from "../record/proof.ts";
import { buildRecord, type LedgerRecord } from "../record/record.ts";
import type { RegistryView } from "../registry/state.ts";
import { isPlausibleAggregate } from "./aggregates.ts";
import type { Attempt, AttemptRecord } from "./attempt.ts";
import type { Attempts } from "./attempts.ts";
import type { Released } from "./batch-times.ts";
import type { Chains } from "./chains.ts";
import type { Decisions } from "./decisions.ts";
import { encodedDecision } from "./encoded-decision.ts";
import { findingAt, type Place, type Report } from "./findings.ts";
import { foundationOf, grantEnd, maxStalenessOf } from "./foundation.ts";
import type { Quotas } from "./quotas.ts";
import { type CallGround, judgedFact, judgingMaxS } from "./judged-keys.ts";
import { contradicts, isOutcomeOf, refusalFault } from "./record-faults.ts";
import type { RecordedCall, RecordedCalls } from "./recorded-calls.ts";
import type { NamedRecheck, Rechecks } from "./rechecks.ts";
import { fallenOf, type ReleaseGround } from "./stands.ts";

/** The registry as a size below or at the folded one sees it. */
export type ViewAt = (size: bigint) => RegistryView;

export interface EvidenceParts {
  readonly attempts: Attempts;
  readonly calls: RecordedCalls;
  readonly chains: Chains;
  /** Absent when decisions are not evaluated. */
  readonly decisions: Decisions | undefined;
  readonly quotas: Quotas;
  readonly rechecks: Rechecks;
  readonly verifier: Verifier;
  readonly report: Report;
  /** Whose chain carried the revocation of a grant, by its `jti`. */
  readonly carrierOf: (grantJti: string) => string | undefined;
}

/** One batch of evidence with the registry behind it. */
export interface EvidenceBatch extends CallGround {
  readonly index: bigint;
  readonly header: Header;
  readonly leafHash: Uint8Array;
  /** Checked when the batch was opened. */
  readonly recordBytes: readonly Uint8Array[];
  readonly recordHashes: readonly Uint8Array[];
  readonly viewAt: ViewAt;
  readonly isFinal: (size: bigint) => boolean;
}

export class EvidenceChecks {
  readonly #parts: EvidenceParts;

  constructor(parts: EvidenceParts) {
    this.#parts = parts;
  }

  /** Checks every record of a batch. Returns what the batch called or released. */
  check(batch: EvidenceBatch): readonly Released[] {
    const released: Released[] = [];
    const { index, header, leafHash, recordBytes, recordHashes } = batch;
    for (const [position, bytes] of recordBytes.entries()) {
      // One after the other: records of a whole batch would outlive the collector's first rounds.
      const built = buildRecord(bytes);
      const place = { index, position, gateway: header.gateway };
      const recordHash = recordHashes[position] as Uint8Array;
      const record = { place, header, leafHash, recordHash };
      this.#parts.quotas.take(built, record, batch.state);
      const attempt = this.#checkBody(built.body, record, batch);
      if (attempt?.foundation === undefined) continue;
      const { foundation, issuer: consumerGateway } = attempt;
      const { grantJti, maxStalenessMs, service } = foundation;
      // A revocation may have come since the attempt was begun.
      const grant = grantEnd(grantJti, batch.state);
      this.#checkStands({ grant, service, consumerGateway }, place, batch);
      released.push({ position, grant, maxStalenessMs });
    }
    return released;
  }

  /** The attempt of a record that calls or releases something. */
  #checkBody(
    body: LedgerRecord["body"],
    record: AttemptRecord,
    batch: EvidenceBatch,
  ): Attempt | undefined {
    const { attempts } = this.#parts;
    switch (body.case) {
      case "opened":
        return this.#opened(body.value, record, batch);
      case "receipt":
        return this.#receipt(body.value, record, batch);
      case "acknowledgement":
        attempts.acknowledge(body.value, record);
        return undefined;
      case "refusal":
        this.#refusal(body.value, record, batch);
        return undefined;
      case "closed":
        this.#closed(body.value, record);
        return undefined;
      case "receiptMissing":
        this.#receiptMissing(body.value, record.place, batch);
        return undefined;
      default:
        return undefined;
    }
  }

  #opened({ begin }: Opened, record: AttemptRecord, batch: EvidenceBatch): Attempt | undefined {
    const attempt = begin === undefined ? undefined : this.#begin(begin, record, batch, true);
    if (attempt !== undefined) this.#parts.attempts.opened(attempt, record);
    return attempt;
  }

  #receipt(receipt: Receipt, record: AttemptRecord, batch: EvidenceBatch): Attempt | undefined {
    const { attempts, report } = this.#parts;
    const { start, progress, final, status } = receipt;
    const attempt =
      start.case === "begin"
        ? this.#begin(start.value, record, batch, false)
        : start.case === "prevRecord"
          ? attempts.follow(start.value.hash, record)
          : undefined;
    if (final !== (status !== undefined)) {
      report(findingAt(record.place, "RECORD_IMPLAUSIBLE", { member: "status" }));
    }
    if (attempt === undefined || progress === undefined) return undefined;
    const { boot } = attempt;
    if (boot !== undefined && !equalBytes(boot, batch.header.boot)) {
      // A process that has started again goes on with nothing.
      report(findingAt(record.place, "TOKEN_MISUSED", { member: "nonce" }));
    }
    attempts.receipt(attempt, record, receipt as Receipt & { readonly progress: Progress });
    return attempt;
  }

  /** A call that was permitted: its token, its decision, and the attempt that it opens. */
  #begin(
    begin: Begin,
    record: AttemptRecord,
    batch: EvidenceBatch,
    isOpened: boolean,
  ): Attempt | undefined {
    const { attempts, calls, report } = this.#parts;
    const { call, decision, obligations } = begin;
    const { place } = record;
    if (call === undefined || decision === undefined) return undefined;
    const view = this.#decidedView(decision, place, batch);
    const recorded = calls.check(call, place, batch, view);
    if (decision.verdict !== Verdict.PERMIT) report(findingAt(place, "RELEASED_WITHOUT_PERMIT"));
    if (recorded === undefined) return undefined;
    this.#checkPeerKey(begin.peerTlsKey, recorded, place, batch, view);
    this.#decide(decision, obligations, recorded, place, batch, view);
    this.#checkShape(recorded.statement, place, isOpened, view);
    const foundation = foundationOf(recorded, { decision, obligations }, batch.state, view);
    return attempts.begin(recorded, record, { foundation, boot: batch.header.boot });
  }

  /** A call is open where its method streams, and one that writes has its Opened before the upstream. */
  #checkShape(
    { method: path, open, service }: CallStatement,
    place: Place,
    isOpened: boolean,
    view: RegistryView,
  ): void {
    const method = view.service(service)?.body.methods.find((one) => one.path === path);
    if (method === undefined) return;
    const { report } = this.#parts;
    if (open !== (method.client_streaming || method.server_streaming)) {
      report(findingAt(place, "CALL_STATEMENT_INVALID", { member: "open" }));
    }
    if (method.writes && !isOpened) report(findingAt(place, "OPENED_MISSING"));
  }

  #refusal(refusal: Refusal, record: AttemptRecord, batch: EvidenceBatch): void {
    const { attempts, calls, report } = this.#parts;
    const { place } = record;
    const { call, caller, decision, recheck, side, aggregate } = refusal;
    const wrong = refusalFault(refusal);
    if (wrong !== undefined) report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: wrong }));
    if (aggregate !== undefined && !isPlausibleAggregate(aggregate, batch.header)) {
      report(findingAt(place, "AGGREGATE_IMPLAUSIBLE"));
    }
    if (side !== Side.PROVIDER || aggregate !== undefined) {
      if (call !== undefined) attempts.mention(callTokenDigest(call.token), call.index);
      if (side === Side.PROVIDER) attempts.refuseNameless(record);
      return;
    }
    const view = this.#decidedView(decision, place, batch);
    const recorded = call === undefined ? undefined : calls.check(call, place, batch, view);
    if (recorded === undefined) {
      attempts.refuseNameless(record);
      return;
    }
    if (caller.case === "peer" && caller.value.gateway !== recorded.issuer) {
      report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "peer" }));
    }
    if (decision !== undefined) {
      this.#decide(decision, undefined, recorded, place, batch, view);
      if (contradicts(refusal, decision)) report(findingAt(place, "REFUSAL_CONTRADICTS"));
      if (recheck !== undefined) {
        const { issuer: consumerGateway, statement } = recorded;
        const { grantJti } = decision;
        const { reason } = refusal;
        const { service } = statement;
        const maxStalenessMs = maxStalenessOf(service, view);
        this.#recheck(recheck, {
          record,
          reason,
          grantJti,
          service,
          consumerGateway,
          maxStalenessMs,
        });
      }
    }
    const attempt = attempts.begin(recorded, record);
    if (attempt !== undefined) attempts.refuse(attempt, record);
  }

  #closed(closed: Closed, record: AttemptRecord): void {
    const { attempts, report } = this.#parts;
    const { place } = record;
    if (!isOutcomeOf(closed)) {
      report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "outcome" }));
    }
    if (closed.side === Side.CONSUMER) {
      attempts.closeByConsumer(closed, record);
      return;
    }
    const attempt = attempts.follow(closed.prevRecord, record);
    if (attempt === undefined) return;
    const { decision, recheck, status } = closed;
    if (recheck !== undefined && attempt.foundation !== undefined) {
      const { issuer: consumerGateway } = attempt;
      const { grantJti, service, maxStalenessMs } = attempt.foundation;
      if (decision === undefined || !isSame(decision, attempt.foundation.decision)) {
        report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "decision" }));
      }
      const reason = status?.reason ?? "";
      this.#recheck(recheck, {
        record,
        reason,
        grantJti,
        service,
        consumerGateway,
        maxStalenessMs,
      });
    }
    attempts.closeByProvider(attempt, closed, record);
  }

  /** The consumer shows a receipt that is overdue: its provider never submitted it, or sealed another. */
  #receiptMissing(shown: ReceiptMissing, place: Place, batch: EvidenceBatch): void {
    const { chains, report, verifier } = this.#parts;
    try {
      const { leaf } = verifyRecordProof(shown);
      if (chains.judgeShown(leaf, place, batch.state, verifier)) {
        if (wasThere(chains.indexOf(leaf), shown, batch)) {
          report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "since" }));
        }
        return;
      }
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
    }
    report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "leaf" }));
  }

  /** The view that a decision rests on; that of the header where there is none. */
  #decidedView(decision: Decision | undefined, place: Place, batch: EvidenceBatch): RegistryView {
    const { header, viewAt, isFinal } = batch;
    const { seenSize } = header;
    const decidedSize = decision?.decidedSize ?? seenSize;
    // A seen size that was not final is a finding of its own.
    if (decidedSize === seenSize || (decidedSize < seenSize && isFinal(decidedSize))) {
      return viewAt(decidedSize);
    }
    const fields = { decidedSize: String(decidedSize) };
    this.#parts.report(findingAt(place, "DECISION_SIZE_INVALID", fields));
    return viewAt(seenSize);
  }

  #decide(
    decision: Decision,
    obligations: Begin["obligations"],
    { statement, issuer, issuedAt, expiresAt }: RecordedCall,
    place: Place,
    { header, recordBytes }: EvidenceBatch,
    view: RegistryView,
  ): void {
    const { decisions, report } = this.#parts;
    const skewS = view.network?.bounds.skew_s ?? 0;
    const at = Number(decision.evaluatedAt);
    const isTimely =
      at * 1000 <= Number(header.sealedAt) &&
      at >= issuedAt - skewS &&
      at <= expiresAt + skewS + judgingMaxS;
    if (!isTimely) report(findingAt(place, "DECISION_TIME_IMPLAUSIBLE"));
    if (agencyOf(statement.service) !== agencyOf(place.gateway)) {
      report(findingAt(place, "SERVICE_OF_ANOTHER"));
    }
    if (view.seenSize !== decision.decidedSize) return;
    const encoded = encodedDecision(recordBytes[place.position] as Uint8Array);
    const decided = { place, decision, encoded, statement, consumerGateway: issuer };
    decisions?.judge(obligations === undefined ? decided : { ...decided, obligations }, view);
  }

  #checkPeerKey(
    key: Uint8Array,
    call: RecordedCall,
    place: Place,
    batch: EvidenceBatch,
    view: RegistryView,
  ): void {
    const digest = toHex(key);
    if (judgedFact(call, ({ body }) => body.tls.includes(digest), view, batch) !== undefined)
      return;
    this.#parts.report(findingAt(place, "PEER_KEY_UNKNOWN", { issuer: call.issuer }));
  }

  /** The re-check of a release, made again at the header's seen size. */
  #checkStands(
    ground: Pick<ReleaseGround, "grant" | "service" | "consumerGateway">,
    place: Place,
    { header, index, state, viewAt }: EvidenceBatch,
  ): void {
    const { report, carrierOf } = this.#parts;
    const view = viewAt(header.seenSize);
    for (const { code, fields } of fallenOf({ ...ground, header, index, state, view, carrierOf })) {
      report(findingAt(place, code, fields));
    }
  }

  #recheck({ seenSize, fact }: Recheck, of: Omit<NamedRecheck, "fact">): void {
    const { report, rechecks } = this.#parts;
    const { place, header } = of.record;
    if (seenSize !== header.seenSize) {
      report(findingAt(place, "RECORD_IMPLAUSIBLE", { member: "recheck" }));
    }
    rechecks.add({ ...of, fact });
  }
}

/** Whether something was final before it is said to be missing, give or take the clocks. */
function wasThere(
  index: bigint | undefined,
  { since }: ReceiptMissing,
  { finalMs, state }: EvidenceBatch,
): boolean {
  const thereMs = index === undefined ? undefined : finalMs(index);
  const skewMs = (state.network?.bounds.skew_s ?? 0) * 1000;
  return thereMs !== undefined && thereMs + skewMs < Number(since);
}

function isSame(one: Decision, other: Decision): boolean {
  return equalBytes(encodeMessage(DecisionSchema, one), encodeMessage(DecisionSchema, other));
}
