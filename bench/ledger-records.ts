/** Records that the ledger is measured with: real receipts, and records of 300 bytes. */
import { AuditLedger, type TestCall } from "../test/audit/audit-ledger.ts";
import { openRecord, encodeRecord } from "../src/record/record.ts";

export type RecordSet = "receipts" | "300 bytes";

/** Canonical evidence, each record another one and all of a set of one length. */
export type BenchRecords = Readonly<Record<RecordSet, readonly Uint8Array[]>>;

const smallBytes = 300;

/**
 * Receipts of permitted calls, and acknowledgements whose local rule has a name that makes them 300 bytes.
 * Both are of a network that no gateway of the benchmark belongs to: none of them looks for the attempt.
 */
export async function createBenchRecords(count: number): Promise<BenchRecords> {
  const audit = await AuditLedger.create("bench", {
    cities: [
      { id: "suzhou", division: "320500", agency: "housing" },
      { id: "tianjin", division: "120100", agency: "taxation" },
    ],
  });
  const { receipt } = await audit.read();
  const calls: readonly TestCall[] = Array.from({ length: count }, () => audit.call());
  return {
    receipts: calls.map((call) => audit.receipt(call)),
    "300 bytes": calls.map((call) => padded(audit.acknowledgement(call, receipt))),
  };
}

function padded(acknowledgement: Uint8Array): Uint8Array {
  const opened = openRecord(acknowledgement);
  if (opened.body.case !== "acknowledgement") throw new TypeError("not an acknowledgement");
  const { value } = opened.body;
  for (let length = smallBytes; length > 0; length--) {
    value.localRule = "r".repeat(length);
    const bytes = encodeRecord(opened);
    if (bytes.length === smallBytes) return bytes;
  }
  throw new RangeError(`no local rule makes an acknowledgement of ${smallBytes} bytes`);
}
