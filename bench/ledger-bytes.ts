/** What exchanges leave on the ledger, counted from the leaves and records themselves. */
import { join } from "node:path";
import { parseBody } from "../src/ledger/embedded/bodies.ts";
import { ledgerFile } from "../src/ledger/embedded/ledger-node.ts";
import { SqliteLedgerStore } from "../src/ledger/store/sqlite-store.ts";
import { openRecord } from "../src/record/record.ts";

export interface LedgerBytes {
  readonly batches: number;
  readonly records: number;
  /** Receipts: exchanges that were answered. */
  readonly receipts: number;
  readonly leafBytes: number;
  readonly recordBytes: number;
}

const page = { countMax: 1000, bytesMax: 8 * 1024 * 1024 };

/** Counts ranges of batches in the data folder of a gateway that has ended. */
export function countLedgerBytes(
  dataFolder: string,
  ranges: readonly { readonly from: bigint; readonly to: bigint }[],
): LedgerBytes {
  const store = new SqliteLedgerStore(join(dataFolder, ledgerFile));
  try {
    const total = { batches: 0, records: 0, receipts: 0, leafBytes: 0, recordBytes: 0 };
    for (const { from, to } of ranges) {
      for (let next = from; next < to; ) {
        const batches = store.reader
          .batches({ from: next, ...page })
          .filter(({ index }) => index < to);
        if (batches.length === 0) throw new Error(`batch ${next} is missing`);
        for (const { leaf, body } of batches) {
          const records = parseBody(body);
          total.batches += 1;
          total.leafBytes += leaf.length;
          total.records += records.length;
          total.recordBytes += records.reduce((sum, record) => sum + record.length, 0);
          total.receipts += records.filter(isReceipt).length;
        }
        next += BigInt(batches.length);
      }
    }
    return total;
  } finally {
    store.close();
  }
}

/** Batches in the data folder of a gateway that has ended. */
export function ledgerSize(dataFolder: string): bigint {
  const store = new SqliteLedgerStore(join(dataFolder, ledgerFile));
  try {
    return store.reader.size();
  } finally {
    store.close();
  }
}

function isReceipt(record: Uint8Array): boolean {
  return openRecord(record).body.case === "receipt";
}
