/** `causeway evidence export` and `verify`: one file that proves one record offline. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { collectEvidence } from "../../src/evidence/collect.ts";
import { formatEvidence } from "../../src/evidence/package.ts";
import { type EvidenceVerification, verifyEvidence } from "../../src/evidence/verify.ts";
import { parseAddress, parseHandle } from "../../src/record/handle.ts";
import { withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { readExport } from "./ledger-download.ts";
import { writeExport } from "./ledger-export.ts";
import { LedgerHttp } from "./ledger-http.ts";
import {
  childOf,
  httpAddress,
  parseNetworkId,
  readExportFile,
  readOpenings,
  readWhole,
} from "./ledger-input.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface EvidenceExportOptions {
  /** HTTP listener of any gateway, or an export file: one of the two. */
  readonly from?: string | undefined;
  readonly export?: string | undefined;
  /** Network id: the ledger is verified against it on the way. */
  readonly network: string;
  readonly out: string;
  readonly openings?: string | undefined;
}

/** Writes the package of one record. Throws RECORD_UNKNOWN, USAGE_INVALID, and what reading throws. */
export async function evidenceExport(
  name: string,
  options: EvidenceExportOptions,
  io: Io,
): Promise<void> {
  const target = parseAddress(name) ?? parseHandle(name);
  if (target === undefined) {
    throw new CausewayError("USAGE_INVALID", "not an address <index>/<position> or a handle");
  }
  const { from, export: file, network, out } = options;
  const openings = options.openings === undefined ? [] : readOpenings(options.openings);
  const collect = async (exported: string): Promise<void> => {
    const evidence = await collectEvidence({
      readEntries: () => readExportFile(exported),
      networkId: parseNetworkId(network),
      verifier: createNodeVerifier(),
      target,
      openings,
    });
    await writeFile(out, formatEvidence(evidence));
  };
  if (file !== undefined && from === undefined) await collect(file);
  else if (from !== undefined && file === undefined) await withDownload(from, collect);
  else throw new CausewayError("USAGE_INVALID", "give --from or --export");
  io.write(`${out}: evidence for ${name}\n`);
}

async function withDownload(from: string, use: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "causeway-"));
  try {
    const file = join(folder, "ledger.export");
    await writeExport(readExport(new LedgerHttp(httpAddress(from))), file);
    await use(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export interface EvidenceVerifyOptions extends OutputOptions {
  readonly network: string;
}

/** Verifies a package and says what it shows. Throws the reason of the first step that fails. */
export async function evidenceVerify(
  file: string,
  options: EvidenceVerifyOptions,
  io: Io,
): Promise<EvidenceVerification> {
  const networkId = parseNetworkId(options.network);
  const text = parseUtf8(readWhole(file)) ?? "";
  const result = await verifyEvidence({ text, networkId, verifier: createNodeVerifier() });
  printVerification(result, options, io);
  if (result.valid) return result;
  const failed = result.steps.at(-1);
  throw new CausewayError("FINDINGS", `step ${failed?.name}: ${failed?.detail}`, {
    fields: { step: failed?.name ?? "", reason: failed?.reason ?? "" },
  });
}

function printVerification(
  { valid, steps, facts, notShown }: EvidenceVerification,
  options: OutputOptions,
  io: Io,
): void {
  const shown =
    facts === undefined
      ? {}
      : {
          record: `${facts.kind} ${facts.address}`,
          handle: facts.handle,
          gateway: facts.gateway,
          sealed_at: new Date(facts.sealedAtMs).toISOString(),
          final_by: new Date(facts.finalAtMs).toISOString(),
          cosigned_by: facts.cities,
          final_size: String(facts.size),
        };
  if (options.output === "json" || options.output === "ndjson") {
    const listed = steps.map((step) => ({ ...step }));
    writeRow(
      io,
      { valid, ...shown, steps: listed as unknown as string[], not_shown: notShown },
      options,
    );
    return;
  }
  const said = steps.map(({ name, outcome, detail, reason }) => [
    name,
    [outcome, reason, detail].filter(Boolean).join(" · "),
  ]);
  writeRow(
    io,
    { valid, ...shown, ...Object.fromEntries(said.map(([name, text]) => [`step ${name}`, text])) },
    options,
  );
  for (const text of notShown) io.write(`not shown: ${text}\n`);
}

export function registerEvidence(program: Command, io: Io): void {
  const evidence = childOf(program, "evidence", "one file that proves one record offline");
  evidence
    .command("export")
    .description("write the evidence package of one record")
    .argument("<name>", "address <index>/<position> or handle <leaf hash>/<position>")
    .requiredOption("--network <hex>", "network id: the ledger is verified against it")
    .requiredOption("--out <file>", "file to write")
    .option("--from <host:port>", "HTTP listener of any gateway of the network")
    .option("--export <file>", "export of the ledger, instead of --from")
    .option("--openings <file>", "JSON list of label, salt and value to reveal")
    .action((name: string, options: EvidenceExportOptions) => evidenceExport(name, options, io));
  withFormat(
    evidence
      .command("verify")
      .description("verify an evidence package offline")
      .argument("<file>", "evidence package")
      .requiredOption("--network <hex>", "network id: all that is trusted"),
  ).action(async (file: string, options: EvidenceVerifyOptions) => {
    await evidenceVerify(file, options, io);
  });
}
