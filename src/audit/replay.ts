/**
 * The auditor's replay: everything on a ledger verified again from its export, offline. Trust is the
 * network id alone, the SHA-256 of the founding document's payload.
 */
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { auditViewsRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import type { RegistryView } from "../registry/state.ts";
import { view } from "../registry/view.ts";
import type { AttemptRecord } from "./attempt.ts";
import { type AttemptCounts, Attempts } from "./attempts.ts";
import { BatchTimes, type TimeBounds } from "./batch-times.ts";
import { Chains } from "./chains.ts";
import { type DecisionCounts, Decisions } from "./decisions.ts";
import { EvidenceChecks } from "./evidence-checks.ts";
import type { ExportEntry } from "./export-file.ts";
import {
  type Finding,
  findingAt,
  type Judge,
  type Place,
  type Report,
  type Severity,
  severityOf,
} from "./findings.ts";
import { ledgerFacts } from "./ledger-facts.ts";
import { type FoldedBatch, LedgerFold } from "./ledger-fold.ts";
import { type JudgedCheckpoint, judgeLaterCheckpoint } from "./later-checkpoint.ts";
import { PublishedBlobs } from "./published-blobs.ts";
import { Quotas } from "./quotas.ts";
import { RecordedCalls } from "./recorded-calls.ts";
import { Rechecks } from "./rechecks.ts";
import type { ReplayOptions } from "./replay-options.ts";
import { judgeReportedCheckpoints } from "./reported-checkpoints.ts";

export type { ReplayOptions } from "./replay-options.ts";

/** What a replay could not check, and why. */
export interface NotChecked {
  readonly what:
    | "rest"
    | "freshness"
    | "checkpoint"
    | "term start"
    | "seen sizes"
    | "decisions"
    | "attributes"
    | "engine"
    | "blobs";
  readonly why: string;
  readonly count: number;
}

export interface ReplayResult {
  readonly network: string;
  readonly findings: readonly Finding[];
  /** The first index from which on the ledger is broken; where it is not, of the first batch that breaks a rule. */
  readonly firstBadIndex: bigint | undefined;
  readonly notChecked: readonly NotChecked[];
  readonly size: bigint;
  /** Hex of the root of that size. */
  readonly root: string;
  readonly registryDigest: string;
  readonly finalSizes: number;
  /** Unix milliseconds of the newest final size. */
  readonly finalAtMs: number | undefined;
  readonly records: Readonly<Record<string, number>>;
  readonly attempts: AttemptCounts;
  readonly decisions: DecisionCounts | undefined;
}

/**
 * Replays an export. Nothing that the export holds makes it throw: what is wrong is a finding, the first
 * that breaks the ledger ends the reading. An item that cannot be decoded is such a finding too.
 */
export async function replayLedger(
  entries: AsyncIterable<ExportEntry>,
  options: ReplayOptions,
): Promise<ReplayResult> {
  const replay = new Replay(options);
  try {
    for await (const entry of entries) {
      if (!(await replay.take(entry))) break;
    }
  } catch (cause) {
    if (!(cause instanceof CausewayError) || cause.fields["index"] === undefined) throw cause;
    replay.malformed(cause);
  }
  return replay.finish();
}

class Replay {
  readonly #options: ReplayOptions;
  readonly #findings: Finding[] = [];
  /** Who is to blame for findings between two sides: decided at the end. */
  readonly #judges = new Map<Finding, Judge>();
  readonly #fold: LedgerFold;
  readonly #times: BatchTimes;
  readonly #chains: Chains;
  readonly #attempts: Attempts;
  readonly #blobs: PublishedBlobs;
  readonly #decisions: Decisions | undefined;
  readonly #quotas: Quotas;
  readonly #rechecks = new Rechecks();
  readonly #evidence: EvidenceChecks;
  readonly #records: Record<string, number> = {};
  /** Whose chain carried each revocation. */
  readonly #carriers = new Map<string, string>();
  /** Views by size; facts change with governance only. */
  #views = new Lru<bigint, RegistryView>(auditViewsRememberedMax);
  readonly #notFinal: { readonly place: Place; readonly seenSize: bigint }[] = [];
  #notesMissing = 0;
  #later: JudgedCheckpoint | undefined;
  #broken = false;

  constructor(options: ReplayOptions) {
    const { networkId, verifier, engine, opening } = options;
    const report: Report = (finding, judge) => {
      this.#findings.push(finding);
      if (judge !== undefined) this.#judges.set(finding, judge);
    };
    this.#options = options;
    this.#fold = new LedgerFold(networkId, verifier, options.verifyBatch);
    this.#times = new BatchTimes(this.#fold.finals, report);
    const { tree } = this.#fold;
    this.#chains = new Chains(report, (index) => tree.readHash(0, index));
    this.#attempts = new Attempts(report);
    this.#blobs = new PublishedBlobs(engine, report);
    const { blob } = this.#blobs;
    const decides = options.depth === "full" && engine !== undefined;
    this.#decisions = decides
      ? new Decisions({ engine, blob, report, ...(opening === undefined ? {} : { opening }) })
      : undefined;
    this.#quotas = new Quotas(report);
    this.#evidence = new EvidenceChecks({
      attempts: this.#attempts,
      calls: new RecordedCalls(networkId, verifier, report),
      chains: this.#chains,
      decisions: this.#decisions,
      quotas: this.#quotas,
      rechecks: this.#rechecks,
      verifier,
      report,
      carrierOf: (jti) => this.#carriers.get(jti),
    });
  }

  /** Takes one item; `false` once the ledger is broken. */
  async take(entry: ExportEntry): Promise<boolean> {
    if (entry.kind === "blob") this.#blobs.put(entry.content);
    const step = await this.#fold.take(entry);
    switch (step.kind) {
      case "broken":
        this.#findings.push(step.finding);
        this.#broken = true;
        return false;
      case "final":
        this.#findings.push(...step.findings);
        this.#times.settle(step.final, this.#bounds());
        return true;
      case "batch":
        this.#findings.push(...step.findings);
        this.#takeBatch(step.folded);
        return true;
      case "other":
        return true;
    }
  }

  malformed(cause: CausewayError): void {
    const index = BigInt(cause.fields["index"] ?? 0);
    const fields = { reason: cause.code };
    this.#findings.push({ code: "EXPORT_MALFORMED", index, fields });
    this.#broken = true;
  }

  #takeBatch(folded: FoldedBatch): void {
    const { index, batch, recordBytes } = folded;
    const { header } = batch;
    this.#count(folded);
    this.#chains.add(index, batch);
    if (!this.#fold.finals.isFinal(header.seenSize)) {
      const place = { index, position: 0, gateway: header.gateway };
      this.#notFinal.push({ place, seenSize: header.seenSize });
    }
    this.#blobs.take(folded, this.#fold.state);
    if (batch.recordKind === "governance") this.#takeGovernance(folded);
    const released =
      batch.recordKind === "evidence" && this.#options.depth === "full"
        ? this.#evidence.check({
            index,
            header,
            leafHash: batch.leafHash,
            recordBytes,
            recordHashes: batch.recordHashes,
            state: this.#fold.state,
            viewAt: (size) => this.#viewAt(size),
            isFinal: (size) => this.#fold.finals.isFinal(size),
            finalMs: (index) => this.#fold.finals.firstAbove(index)?.timeMs,
          })
        : [];
    this.#times.add({
      index,
      gateway: header.gateway,
      sealedAtMs: Number(header.sealedAt),
      seenSize: header.seenSize,
      released,
    });
    this.#options.onBatch?.(index + 1n);
  }

  #takeGovernance(folded: FoldedBatch): void {
    const { index, batch, applied } = folded;
    this.#views = new Lru(auditViewsRememberedMax);
    this.#rechecks.takeGovernance(folded);
    const { gateway } = batch.header;
    for (const { results } of applied.effects.effects) {
      for (const { kind, subject } of results) {
        if (kind === ResultKind.REVOKED) this.#carriers.set(subject, gateway);
      }
    }
    for (const [position, { body }] of batch.records.entries()) {
      if (body.case !== "equivocationReported") continue;
      const { proof } = body.value;
      const place = { index, position, gateway };
      const { verifier } = this.#options;
      if (proof.case === "headers") {
        this.#chains.judgeReport(body.value, place, this.#fold.state, verifier);
      } else if (proof.case === "checkpoints") {
        const finding = judgeReportedCheckpoints(proof.value, place, this.#fold, verifier);
        if (finding !== undefined) this.#findings.push(finding);
      }
    }
  }

  #count({ batch }: FoldedBatch): void {
    for (const name of batch.recordCases) {
      this.#records[name] = (this.#records[name] ?? 0) + 1;
    }
  }

  #viewAt(size: bigint): RegistryView {
    const known = this.#views.get(size);
    if (known !== undefined) return known;
    const fresh = view(this.#fold.state, size);
    this.#views.set(size, fresh);
    return fresh;
  }

  #bounds(): TimeBounds & { readonly closingMs: number } {
    const bounds = this.#fold.state.network?.bounds;
    const skewMs = (bounds?.skew_s ?? 0) * 1000;
    const inclusionBoundMs = (bounds?.inclusion_bound_s ?? 0) * 1000;
    // A consumer answers what is final, within another inclusion; what it rests on may be this old.
    const closingMs = (bounds?.max_staleness_s ?? 0) * 1000 + 2 * inclusionBoundMs + skewMs;
    return { skewMs, inclusionBoundMs, closingMs };
  }

  finish(): ReplayResult {
    const { tree, finals, state } = this.#fold;
    this.#judgeSeen();
    if (!this.#broken) this.#finishLedger();
    this.#quotas.finish();
    const findings = this.#judged();
    return {
      network: toHex(this.#options.networkId),
      findings,
      firstBadIndex: leastOf(findings, "broken") ?? leastOf(findings, "violation"),
      notChecked: this.#notChecked(),
      size: tree.size,
      root: toHex(tree.rootAt(tree.size) as Uint8Array),
      registryDigest: toHex(state.digest),
      finalSizes: finals.count,
      finalAtMs: finals.newest?.timeMs,
      records: this.#records,
      attempts: this.#attempts.counts,
      decisions: this.#decisions?.counts,
    };
  }

  #judged(): readonly Finding[] {
    if (this.#judges.size === 0) return this.#findings;
    const { finals, state } = this.#fold;
    const ledger = ledgerFacts({
      findings: this.#findings,
      chains: this.#chains,
      finals: this.#notesMissing > 0 ? undefined : finals,
      state,
      viewAt: (size) => this.#viewAt(size),
      skewMs: this.#bounds().skewMs,
    });
    return this.#findings.map((finding) => {
      const blame = this.#judges.get(finding)?.(ledger);
      return blame === undefined ? finding : { ...finding, blame };
    });
  }

  /**
   * A size may have been final at the end of a term for those alone to whom its sequencer could still
   * give the note: whether it was, this ledger does not show.
   */
  #judgeSeen(): void {
    const { finals, state } = this.#fold;
    for (const { place, seenSize } of this.#notFinal) {
      const isTermsEnd = state.terms.some(
        ({ start }) => seenSize <= start && seenSize > (finals.lastBelow(start + 1n)?.size ?? 0n),
      );
      if (isTermsEnd) this.#notesMissing += 1;
      else {
        const fields = { seenSize: String(seenSize) };
        this.#findings.push(findingAt(place, "SEEN_NOT_FINAL", fields));
      }
    }
  }

  /** What can be said only with the whole ledger at hand. */
  #finishLedger(): void {
    const { finals, state, tree } = this.#fold;
    const report = (finding: Finding): void => void this.#findings.push(finding);
    this.#blobs.finish(tree.size);
    const [notFinal] = this.#times.waiting;
    if (notFinal !== undefined || tree.size === 0n) {
      report({ code: "NOT_FINAL", index: notFinal?.index ?? 0n, fields: {} });
    }
    const { laterCheckpoint } = this.#options;
    if (laterCheckpoint !== undefined) {
      this.#later = judgeLaterCheckpoint(laterCheckpoint, this.#fold, this.#options.verifier);
      this.#findings.push(...this.#later.findings);
    }
    this.#decisions?.finish((size) => this.#viewAt(size));
    const endMs = finals.newest?.timeMs ?? 0;
    const { closingMs, skewMs } = this.#bounds();
    const isOld = (index: bigint): boolean => {
      const finalMs = finals.firstAbove(index)?.timeMs;
      return finalMs !== undefined && endMs - finalMs > closingMs;
    };
    const isOverdue = ({ place }: AttemptRecord): boolean => isOld(place.index);
    const isRestarted = ({ place }: AttemptRecord): boolean => {
      const start = this.#chains.nextStart(place.gateway, place.index);
      return start !== undefined && isOld(start);
    };
    this.#attempts.finish({ isOverdue, isRestarted });
    this.#rechecks.finish({ state, finals, skewMs, isOverdue, report });
  }

  #notChecked(): readonly NotChecked[] {
    const { depth, laterCheckpoint } = this.#options;
    const list: NotChecked[] = [];
    const add = (what: NotChecked["what"], why: string, count = 1): void => {
      if (count > 0) list.push({ what, why, count });
    };
    if (this.#broken) {
      add(
        "rest",
        `everything from index ${this.#fold.tree.size} on: nothing behind it has a place`,
      );
    }
    if (laterCheckpoint === undefined) add("freshness", "no later checkpoint was given");
    else if (this.#later === undefined) add("freshness", "the ledger is broken before its end");
    else if (this.#later.notFresh !== undefined) add("freshness", this.#later.notFresh);
    if (this.#later?.notVerified !== undefined) add("checkpoint", this.#later.notVerified);
    const ends = "an ended term's sequencer signed two histories, and what it showed is not here";
    add("term start", ends, this.#fold.startsNotShown);
    const lost = "sizes at the end of a term whose notes this ledger lacks";
    add("seen sizes", lost, this.#notesMissing);
    const decisions = this.#decisions;
    if (depth === "integrity") add("decisions", "only the integrity was asked for");
    else if (decisions === undefined) add("decisions", "no policy engine was given");
    if (decisions === undefined) return list;
    const { sealed, engineUnavailable, blobMissing } = decisions.counts;
    add("attributes", "SEALED: personal attributes without an opening", sealed);
    const engines = [...decisions.otherEngines].sort().join(", ");
    add("engine", `decided by another engine: ${engines}`, engineUnavailable);
    add("blobs", "a policy's blob is missing", blobMissing);
    return list;
  }
}

function leastOf(findings: readonly Finding[], severity: Severity): bigint | undefined {
  const indexes = findings.flatMap(({ code, index }) =>
    severityOf(code) === severity ? [index] : [],
  );
  return indexes.length === 0 ? undefined : indexes.reduce((a, b) => (b < a ? b : a));
}
