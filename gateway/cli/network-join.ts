/** Joining: a bootstrap is asked for batch 0 and its final checkpoint, and believed in nothing. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { CausewayError } from "../../src/base/errors.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { joinLedger } from "../../src/ledger/embedded/founding.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { tileWidth } from "../../src/merkle/tile-path.ts";
import { readFounding } from "../self.ts";
import type { Io } from "./io.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { verifyLedger } from "./ledger-verify.ts";
import { journalFile } from "./network-found.ts";

export interface JoinedNetwork {
  readonly network: LedgerNetwork;
  /** Of the newest final checkpoint that the bootstrap shows. */
  readonly finalSize: bigint;
  readonly finalTimeMs: number;
}

/**
 * Checks that the bootstrap serves the ledger of this founding document: a quorum of its cities has
 * cosigned the newest checkpoint, and the first final one over batches that the rules accept. Then it
 * creates an empty replica, which verifies everything as it follows the sequencer.
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
  const nowMs = io.clock.nowMs();
  const trust = { state: network.founding, skewMs: network.skewMs };
  const newest = readFinal(trust, await http.checkpoint(), { verifier, nowMs });
  const first = readFinal(trust, (await http.finalAfter(0n)).note, { verifier });
  // No gateway but the sequencer seals before the founding is final: the first final size is small.
  if (first.size > BigInt(tileWidth)) {
    throw new CausewayError("CHECKPOINT_INVALID", `the first final size is ${first.size}`);
  }
  await verifyLedger(http, network, { final: first, verifier });
  mkdirSync(data, { recursive: true, mode: 0o700 });
  await joinLedger({ folder: data, founding, verifier, clock: io.clock });
  return { network, finalSize: newest.size, finalTimeMs: newest.timeMs };
}
