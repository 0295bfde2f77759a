import { equalBytes } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { SealedBatch } from "../ports.ts";
import { SqliteLedgerStore } from "../store/sqlite-store.ts";
import { ledgerFile } from "./ledger-node.ts";
import { readLedgerNetwork } from "./network.ts";
import { LedgerReplica } from "./replica.ts";

export interface FoundingOptions {
  /** Folder of the ledger's files; it exists. */
  readonly folder: string;
  /** Payload of the founding document. */
  readonly founding: Uint8Array;
  readonly verifier: Verifier;
  readonly clock: Clock;
}

/**
 * Creates the first sequencer's ledger with batch 0. Founding again with the same batch changes nothing.
 * Throws the fold's reason when it refuses the batch, FOLDER_NOT_EMPTY when another ledger is there.
 */
export async function foundLedger(options: FoundingOptions, batch: SealedBatch): Promise<void> {
  await withReplica(options, async (replica) => {
    const first = replica.batch(0n);
    if (first !== undefined) {
      if (equalBytes(first.leaf, batch.leaf)) return;
      throw new CausewayError("FOLDER_NOT_EMPTY", "the folder holds a ledger with another batch 0");
    }
    const [inclusion] = await replica.include([batch], "stop");
    if (inclusion?.kind === "rejected") {
      throw new CausewayError(inclusion.reason, "the fold refuses batch 0");
    }
  });
}

/** Creates an empty replica from the founding document alone: following the sequencer fills it. */
export async function joinLedger(options: FoundingOptions): Promise<void> {
  await withReplica(options, async () => undefined);
}

async function withReplica(
  options: FoundingOptions,
  run: (replica: LedgerReplica) => Promise<void>,
): Promise<void> {
  const { folder, founding, verifier, clock } = options;
  const network = readLedgerNetwork(founding);
  const store = new SqliteLedgerStore(`${folder}/${ledgerFile}`);
  try {
    await run(await LedgerReplica.open({ network, store, verifier, clock }));
  } finally {
    store.close();
  }
}
