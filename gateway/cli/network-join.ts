/** Joining: a bootstrap is asked for batch 0 and its final checkpoint, and believed in nothing. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Finding, type FindingCode, meaningOf } from "../../src/audit/findings.ts";
import { LedgerFold } from "../../src/audit/ledger-fold.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { isReasonCode, type ReasonCode } from "../../src/base/reasons.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { joinLedger } from "../../src/ledger/embedded/founding.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import type { FinalCheckpoint } from "../../src/ledger/ports.ts";
import { tileWidth } from "../../src/merkle/tile-path.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import { readFounding } from "../self.ts";
import type { Io } from "./io.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { readExport } from "./ledger-download.ts";
import { journalFile } from "./network-found.ts";

export interface JoinedNetwork {
  readonly network: LedgerNetwork;
  /** Of the newest final checkpoint that the bootstrap shows. */
  readonly finalSize: bigint;
  readonly finalTimeMs: number;
}

/**
 * Checks that the bootstrap serves the ledger of this founding document: a quorum of its cities, or of
 * those that they let in, has cosigned the newest checkpoint, and the first one over batches that the
 * rules accept. Then it creates an empty replica, which verifies everything as it follows.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY`; `LEDGER_UNAVAILABLE` when the bootstrap does not answer;
 * every reason for which a checkpoint or a batch does not verify.
 */
export async function joinNetwork(
  options: { readonly founding: string; readonly bootstrap: string; readonly data: string },
  io: Pick<Io, "clock">,
): Promise<JoinedNetwork> {
  const { data } = options;
  const founding = readFounding(options.founding);
  const network = readLedgerNetwork(founding);
  const http = new LedgerHttp(options.bootstrap);
  if ([ledgerFile, journalFile].some((name) => existsSync(join(data, name)))) {
    throw new CausewayError("FOLDER_NOT_EMPTY", `${data} holds a ledger already`);
  }
  const verifier = createNodeVerifier();
  const newest = await verifyBootstrap(http, { network, verifier, nowMs: io.clock.nowMs() });
  mkdirSync(data, { recursive: true, mode: 0o700 });
  await joinLedger({ folder: data, founding, verifier, clock: io.clock });
  return { network, finalSize: newest.size, finalTimeMs: newest.timeMs };
}

/**
 * The newest final checkpoint that the bootstrap shows. Its ledger is folded up to the first final size,
 * and further only where cities, quorum or term have changed: until the checkpoint's keys are known.
 */
async function verifyBootstrap(
  http: LedgerHttp,
  {
    network,
    verifier,
    nowMs,
  }: { readonly network: LedgerNetwork; readonly verifier: Verifier; readonly nowMs: number },
): Promise<FinalCheckpoint> {
  const note = await http.checkpoint();
  const fold = new LedgerFold(network.id, verifier);
  let refusal: unknown;
  let judgedBy: RegistryState | undefined;
  for await (const entry of readExport(http)) {
    const step = await fold.take(entry);
    if (step.kind === "broken") throw refused(step.finding);
    // No gateway but the sequencer seals before the founding is final: the first final size is small.
    if (fold.finals.count === 0 && fold.tree.size > BigInt(tileWidth)) {
      throw new CausewayError("CHECKPOINT_INVALID", `nothing is final at size ${fold.tree.size}`);
    }
    if (step.kind !== "final" || sameTrust(judgedBy, fold.state)) continue;
    judgedBy = fold.state;
    try {
      return readFinal({ state: fold.state, skewMs: network.skewMs }, note, { verifier, nowMs });
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
      refusal = cause;
    }
  }
  throw refusal ?? new CausewayError("CHECKPOINT_INVALID", "nothing is final here");
}

function sameTrust(before: RegistryState | undefined, now: RegistryState): boolean {
  return (
    before !== undefined &&
    before.cities === now.cities &&
    before.quorums === now.quorums &&
    before.terms === now.terms
  );
}

const reasons: Partial<Record<FindingCode, ReasonCode>> = {
  NOTE_MISPLACED: "CHECKPOINT_INVALID",
  NOTE_ROOT_DIFFERS: "PROOF_INVALID",
};

function refused({ code, index, fields }: Finding): CausewayError {
  const { reason = "" } = fields;
  const message =
    index === 0n ? "batch 0 does not found this network" : `the ledger is broken at ${index}`;
  const known = isReasonCode(reason) ? reason : (reasons[code] ?? "CHECKPOINT_INVALID");
  return new CausewayError(known, `${message}: ${meaningOf(code)}`, {
    fields: { index: String(index) },
  });
}
