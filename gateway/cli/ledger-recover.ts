/** `causeway ledger recover`: the journal written again from the ledger, and the epoch that follows. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { agencyOf } from "../../src/base/ids.ts";
import { statementAgeMaxMs } from "../../src/base/limits.ts";
import { networkId } from "../../src/credential/statement.ts";
import type { EpochBody } from "../../src/credential/statements.ts";
import { type GatewayConfig, readConfig } from "../config.ts";
import { readFounding } from "../self.ts";
import {
  assertComplete,
  createClaims,
  createDraft,
  type Draft,
  readDraft,
  writeDraft,
} from "./drafts.ts";
import { integerFlag, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { childOf } from "./ledger-input.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface LedgerRecoverOptions extends OutputOptions {
  readonly config: string;
  readonly epochStatement?: string | undefined;
  /** Seconds. */
  readonly timeout: number;
}

/** Recovers the journal, or begins the new epoch with its signed statement. */
export async function ledgerRecover(options: LedgerRecoverOptions, io: Io): Promise<void> {
  const config = readConfig(options.config, io.environment.configVariables);
  if (options.epochStatement === undefined) await recover(config, options, io);
  else await beginEpoch(config, options.epochStatement, options, io);
}

async function recover(
  config: GatewayConfig,
  options: LedgerRecoverOptions,
  io: Io,
): Promise<void> {
  // The gateway's parts are loaded by this command alone: the others start faster without them.
  const { notFinal } = await import("../recover-epoch.ts");
  const { peersAbove, recoverJournal } = await import("../recover.ts");
  const { clock, random, scheduler } = io;
  const ports = { clock, random, scheduler };
  const recovered = await recoverJournal({ config, waitMs: options.timeout * 1000 }, ports);
  const { epoch, isFinal, kind, peers, replaced, submitted, tip } = recovered;
  const above = peersAbove(recovered);
  const isReady = epoch !== undefined && isFinal && above.length === 0;
  const file = epoch === undefined ? undefined : join(config.data, `epoch-${epoch.epoch}.json`);
  if (isReady && file !== undefined) await draftEpoch(file, { config, epoch }, io);
  writeRow(
    io,
    {
      gateway: config.gateway,
      journal: kind,
      ...(replaced === undefined ? {} : { replaced }),
      submitted,
      ...(tip === undefined
        ? {}
        : { epoch: String(tip.epoch), seq: String(tip.seq), leaf: toHex(tip.leafHash) }),
      final: isFinal,
      peers: peers.map(({ gateway, shown, failure }) => {
        if (failure !== undefined) return `${gateway}=${failure.code}`;
        return `${gateway}=${shown === undefined ? "none" : `${shown.epoch}/${shown.seq}`}`;
      }),
      ...(isReady && file !== undefined ? { statement: file } : {}),
    },
    options,
  );
  for (const { gateway, shown } of above) {
    io.warn(
      `${gateway} holds batch ${shown?.epoch}/${shown?.seq} of this gateway, which the ledger does not have. It comes from the journal that sealed it, or from a witness that holds it; then run this again.\n`,
    );
  }
  if (above.length > 0) {
    throw new CausewayError("LEDGER_BEHIND", "a peer holds a later batch than the ledger has");
  }
  if (kind === "whole") {
    io.warn(
      "The journal holds everything that the ledger and the peers show. Nothing was changed.\n",
    );
    return;
  }
  if (epoch === undefined || file === undefined || tip === undefined) {
    if (recovered.awaits) {
      throw new CausewayError(
        "LEDGER_BEHIND",
        "batches of this gateway were seen that the ledger does not have: nothing is sealed before they are on it. If nobody holds them any more, the agency enrols another gateway",
      );
    }
    io.warn(
      "The ledger has no batch of this gateway: its journal begins anew. Start the gateway.\n",
    );
    return;
  }
  if (!isFinal) throw notFinal(tip);
  io.warn(nextSteps(file, { config, configFile: options.config }));
}

function nextSteps(
  file: string,
  { config, configFile }: { readonly config: GatewayConfig; readonly configFile: string },
): string {
  return [
    `The journal was written again. The gateway seals nothing before its new epoch has begun:`,
    `  1. the authority of ${agencyOf(config.gateway)} signs ${file}:`,
    `     causeway statement sign ${file} --folder <keys of the agency>`,
    `  2. causeway ledger recover --config ${configFile} --epoch-statement ${file}`,
    "",
  ].join("\n");
}

/** A draft for this very end of the chain is kept with the signatures that it has. */
async function draftEpoch(
  file: string,
  { config, epoch }: { readonly config: GatewayConfig; readonly epoch: EpochBody },
  io: Io,
): Promise<void> {
  if (existsSync(file) && isKept(await readDraft(file), epoch, io)) return;
  const claims = createClaims(
    {
      iss: agencyOf(config.gateway),
      sub: config.gateway,
      net: toHex(networkId(readFounding(config.founding))),
    },
    io,
  );
  writeDraft(file, createDraft({ name: "epoch", claims, body: epoch }));
}

function isKept({ statement }: Draft, epoch: EpochBody, { clock }: Pick<Io, "clock">): boolean {
  if (statement.name !== "epoch") return false;
  // Half of the time that it may take is left for its signature.
  if (clock.nowMs() - statement.claims.iat * 1000 > statementAgeMaxMs / 2) return false;
  return statement.body.epoch === epoch.epoch && statement.body.last.leaf === epoch.last.leaf;
}

async function beginEpoch(
  config: GatewayConfig,
  file: string,
  options: LedgerRecoverOptions,
  io: Io,
): Promise<void> {
  const draft = await readDraft(file);
  assertComplete(draft, file);
  const { sealEpoch } = await import("../recover-epoch.ts");
  const { clock, random, scheduler } = io;
  const { epoch, leafHash } = await sealEpoch(
    draft.jws,
    { config, waitMs: options.timeout * 1000 },
    { clock, random, scheduler },
  );
  const row = { gateway: config.gateway, epoch: String(epoch), leaf: toHex(leafHash) };
  writeRow(io, row, options);
  io.warn("The new epoch is in the journal. Start the gateway: it submits it and goes on.\n");
}

export function registerLedgerRecover(program: Command, io: Io): void {
  withFormat(
    childOf(program, "ledger", "the shared append-only ledger")
      .command("recover")
      .description(
        "write a lost or rolled back journal again from the ledger; the gateway is stopped",
      )
      .requiredOption("--config <file>", "configuration of the gateway, YAML")
      .option(
        "--epoch-statement <file>",
        "second run: begin the new epoch with the statement that the agency's authority has signed",
      )
      .option("--timeout <seconds>", "how long to wait for the ledger", integerFlag(1, 3600), 60),
  )
    .addHelpText("after", help)
    .action((options: LedgerRecoverOptions) => ledgerRecover(options, io));
}

const help = `
The first run brings the replica up to date, hands in what the old journal holds above the ledger, asks every
gateway for the newest header of this one that it holds, writes the journal again from the ledger and leaves
the statement of the new epoch to be signed. The old journal is moved aside, never deleted. Nothing that is
final is lost. Interrupted, it is simply run again. Exit code 5: something has to become final first; start
the gateway meanwhile, it seals nothing.`;
