/** What exchanges leave on the disks of both gateways, once their processes have ended. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ledgerFile } from "../src/ledger/embedded/ledger-node.ts";
import { countLedgerBytes, ledgerSize } from "./ledger-bytes.ts";

/** Bytes for one exchange. */
export interface DiskUse {
  readonly journal: number;
  readonly ledger: number;
  /** Openings, and the peer's records until they are final. */
  readonly other: number;
}

export interface DiskFigures {
  /** All that were made, those of the warm-up included. */
  readonly exchanges: number;
  readonly consumer: DiskUse;
  readonly provider: DiskUse;
}

const journalFile = "journal.sqlite";

/** Of the data folders of two gateways that have ended. */
export function diskFigures(folders: {
  readonly consumer: string;
  readonly provider: string;
}): DiskFigures {
  const range = { from: 0n, to: ledgerSize(folders.provider) };
  const { receipts: exchanges } = countLedgerBytes(folders.provider, [range]);
  const use = (folder: string): DiskUse => {
    const sizes = new Map(
      readdirSync(folder).map((name) => [name, statSync(join(folder, name)).size]),
    );
    const journal = sizes.get(journalFile) ?? 0;
    const ledger = sizes.get(ledgerFile) ?? 0;
    const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    return {
      journal: journal / exchanges,
      ledger: ledger / exchanges,
      other: (all - journal - ledger) / exchanges,
    };
  };
  return { exchanges, consumer: use(folders.consumer), provider: use(folders.provider) };
}
