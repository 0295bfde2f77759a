/** `causeway ledger verify` and `causeway audit replay`: a ledger verified from an export, or as a gateway serves it. */
import type { Command } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import {
  evidenceMeaning,
  type Finding,
  meaningOf,
  type SettlingEvidence,
  severityOf,
} from "../../src/audit/findings.ts";
import { type ReplayOptions, type ReplayResult, replayLedger } from "../../src/audit/replay.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { networkId } from "../../src/credential/statement.ts";
import { opensCommitment } from "../../src/crypto/commitments.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { EvidenceOpening } from "../../src/evidence/package.ts";
import type { PersonalAttribute } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import type { AttributeOpening } from "../../src/policy/replay.ts";
import { readFounding } from "../self.ts";
import { withFormat, withProgress } from "./flags.ts";
import type { Io } from "./io.ts";
import { readForReplay } from "./ledger-download.ts";
import { LedgerHttp } from "./ledger-http.ts";
import {
  childOf,
  httpAddress,
  parseNetworkId,
  readExportFile,
  readOpenings,
  readWhole,
} from "./ledger-input.ts";
import { type OutputOptions, type Row, writeRow, writeRows } from "./output.ts";
import { type Progress, type ProgressOptions, startProgress } from "./progress.ts";

export interface LedgerVerifyOptions extends OutputOptions, ProgressOptions {
  /** Network id, or the founding document that it is the digest of: all that is trusted. */
  readonly network?: string | undefined;
  readonly founding?: string | undefined;
  /** HTTP listener of any gateway of the network, in the place of an export. */
  readonly from?: string | undefined;
  /** File of a later checkpoint of this network. */
  readonly checkpoint?: string | undefined;
}

export interface AuditReplayOptions extends LedgerVerifyOptions {
  readonly openings?: string | undefined;
}

/** Verifies tree, checkpoints, chains, signatures, registry and blobs of a ledger. Throws FINDINGS. */
export async function ledgerVerify(
  file: string | undefined,
  options: LedgerVerifyOptions,
  io: Io,
): Promise<ReplayResult> {
  return replayEntries(file, options, io, { depth: "integrity" });
}

/** Replays an export whole: decisions evaluated again, both sides of each attempt matched. Throws FINDINGS. */
export async function auditReplay(
  file: string | undefined,
  options: AuditReplayOptions,
  io: Io,
): Promise<ReplayResult> {
  const openings = options.openings === undefined ? [] : readOpenings(options.openings);
  return replayEntries(file, options, io, {
    depth: "full",
    engine: createCedarEngine(),
    opening: (attribute) => findOpening(attribute, openings),
  });
}

function findOpening(
  { name, commitment }: PersonalAttribute,
  openings: readonly EvidenceOpening[],
): AttributeOpening | undefined {
  const label = `attribute/${name}` as const;
  return openings.find(
    ({ label: of, salt, value }) =>
      of === label && opensCommitment(commitment, { label, salt, value }),
  );
}

/** What is read, and what tells how much of it has been. */
interface Source {
  readonly entries: AsyncIterable<ExportEntry>;
  readonly progress: Progress;
  readonly onBatch: (size: bigint) => void;
}

function sourceOf(file: string | undefined, options: LedgerVerifyOptions, io: Io): Source {
  const { from } = options;
  if (file !== undefined && from === undefined) {
    // How many batches a file holds is known at its end: its bytes are counted.
    const progress = startProgress(io, "KiB", options);
    const kib = (bytes: number): number => Math.round(bytes / 1024);
    const onBytes = (read: number, total: number): void => progress.at(kib(read), kib(total));
    return { entries: readExportFile(file, onBytes), progress, onBatch: () => undefined };
  }
  if (file === undefined && from !== undefined) {
    const progress = startProgress(io, "batches", options);
    let total: bigint | undefined;
    const onBatch = (_index: bigint, size: bigint): void => void (total = size);
    const entries = readForReplay(new LedgerHttp(httpAddress(from)), { onBatch });
    return { entries, progress, onBatch: (size) => progress.at(size, total) };
  }
  throw new CausewayError("USAGE_INVALID", "name an export, or a gateway with --from");
}

/** Throws USAGE_INVALID unless exactly one of the two is named. */
export function trustedId({
  network,
  founding,
}: Pick<LedgerVerifyOptions, "network" | "founding">): Uint8Array {
  if (network !== undefined && founding === undefined) return parseNetworkId(network);
  if (network === undefined && founding !== undefined) return networkId(readFounding(founding));
  throw new CausewayError("USAGE_INVALID", "trust is --network or --founding, one of them");
}

async function replayEntries(
  file: string | undefined,
  options: LedgerVerifyOptions,
  io: Io,
  what: Pick<ReplayOptions, "depth" | "engine" | "opening">,
): Promise<ReplayResult> {
  const { checkpoint } = options;
  const startedMs = io.clock.monotonicMs();
  const networkId = trustedId(options);
  const { entries, progress, onBatch } = sourceOf(file, options, io);
  const result = await replayLedger(entries, {
    networkId,
    verifier: createNodeVerifier(),
    onBatch,
    ...what,
    ...(checkpoint === undefined ? {} : { laterCheckpoint: readWhole(checkpoint) }),
  }).finally(() => progress.end());
  print(result, io.clock.monotonicMs() - startedMs, options, io);
  throwFindings(result);
  return result;
}

/** Prints what is wrong and throws FINDINGS; says nothing of a ledger that is intact. */
export function assertNoFindings(result: ReplayResult, options: OutputOptions, io: Io): void {
  if (result.findings.length === 0) return;
  writeRows(io, result.findings.map(findingRow), { ...options, none: "" });
  throwFindings(result);
}

function throwFindings({ findings, firstBadIndex }: ReplayResult): void {
  if (findings.length === 0) return;
  const where = firstBadIndex === undefined ? "" : `, the first bad index is ${firstBadIndex}`;
  const fields = firstBadIndex === undefined ? {} : { index: String(firstBadIndex) };
  throw new CausewayError("FINDINGS", `${findings.length} findings${where}`, { fields });
}

function print(result: ReplayResult, tookMs: number, options: OutputOptions, io: Io): void {
  const findings = result.findings.map(findingRow);
  const { output } = options;
  if (output === "json") {
    io.write(`${JSON.stringify({ ...summary(result, tookMs), findings }, undefined, 2)}
`);
    return;
  }
  if (output === "ndjson") {
    for (const finding of findings) writeRow(io, { type: "finding", ...finding }, options);
    writeRow(io, { type: "summary", ...summary(result, tookMs) }, options);
    return;
  }
  writeRow(io, summary(result, tookMs), options);
  io.write("\n");
  writeRows(io, findings, { ...options, none: "No findings." });
  for (const code of settledBy(result.findings)) {
    io.write(`settled by ${code}: ${evidenceMeaning(code)}\n`);
  }
  for (const { what, why, count } of result.notChecked) {
    io.write(`not checked: ${what}${count > 1 ? ` (${count})` : ""}: ${why}\n`);
  }
}

function summary(result: ReplayResult, tookMs: number): Row {
  const { attempts, decisions, finalAtMs, firstBadIndex, notChecked, records } = result;
  const count = Object.values(records).reduce((sum, one) => sum + one, 0);
  return {
    network: result.network,
    size: String(result.size),
    root: result.root,
    registry_digest: result.registryDigest,
    final_sizes: result.finalSizes,
    final_time: finalAtMs === undefined ? "" : new Date(finalAtMs).toISOString(),
    records: count,
    by_kind: Object.entries(records).map(([kind, n]) => `${kind} ${n}`),
    attempts: attempts.attempts,
    matched: attempts.matched,
    open: attempts.open,
    decisions: decisions?.total ?? 0,
    decisions_same: decisions?.same ?? 0,
    findings_count: result.findings.length,
    first_bad_index: firstBadIndex === undefined ? "" : String(firstBadIndex),
    not_checked: notChecked.map(({ what, count: n }) => (n > 1 ? `${what} ${n}` : what)),
    took_ms: Math.round(tookMs),
    records_per_second: tookMs > 0 ? Math.round((count * 1000) / tookMs) : 0,
  };
}

/** What would tell of two sides which lied: each kind of evidence once. */
function settledBy(findings: readonly Finding[]): ReadonlySet<SettlingEvidence> {
  return new Set(
    findings.flatMap(({ blame }) => (blame?.kind === "either" ? [blame.settledBy] : [])),
  );
}

function findingRow({ code, index, position, gateway, blame, fields }: Finding): Row {
  return {
    severity: severityOf(code),
    code,
    address: position === undefined ? String(index) : `${index}/${position}`,
    gateway: gateway ?? "",
    convicts: blame?.kind === "convicted" ? blame.gateway : "",
    one_of: blame?.kind === "either" ? blame.gateways : [],
    settled_by: blame?.kind === "either" ? blame.settledBy : "",
    detail: Object.entries(fields).map(([name, value]) => `${name}=${value}`),
    meaning: meaningOf(code),
  };
}

function withTrust(command: Command): Command {
  return withProgress(command)
    .argument("[file]", "export, as causeway ledger export writes it")
    .option("--from <host:port>", "HTTP listener of a gateway, in the place of an export")
    .option("--network <hex>", "network id: all that is trusted")
    .option("--founding <file>", "founding document, in the place of the network id")
    .option(
      "--checkpoint <file>",
      "later checkpoint obtained elsewhere: without it freshness is not shown",
    );
}

export function registerAudit(program: Command, io: Io): void {
  withFormat(
    withTrust(
      childOf(program, "ledger", "the shared append-only ledger")
        .command("verify")
        .description("verify integrity: tree, cosignatures, chains, signatures, rules"),
    ),
  ).action(async (file: string | undefined, options: LedgerVerifyOptions) => {
    await ledgerVerify(file, options, io);
  });
  const audit = childOf(program, "audit", "the auditor's view of a ledger");
  withFormat(
    withTrust(
      audit
        .command("replay")
        .description("replay a ledger: integrity, every decision again, both sides matched"),
    ).option(
      "--openings <file>",
      "JSON list of label, salt and value that open personal attributes",
    ),
  ).action(async (file: string | undefined, options: AuditReplayOptions) => {
    await auditReplay(file, options, io);
  });
}
