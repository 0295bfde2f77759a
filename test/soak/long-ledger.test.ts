/** The auditor over a long ledger: CAUSEWAY_SOAK_RECORDS says how many records of evidence it has. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { decodeExport, encodeExport } from "../../src/audit/export-file.ts";
import { type ReplayResult, replayLedger } from "../../src/audit/replay.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { engine } from "../audit/audit-ledger.ts";
import { exchangesOfRound, LongLedger } from "./long-ledger.ts";

const records = Number(process.env["CAUSEWAY_SOAK_RECORDS"] ?? 16_000);
const rounds = Math.ceil(records / (2 * exchangesOfRound));
/** What keeps its shape over fewer exchanges says nothing of what one of them costs. */
const isLong = records >= 1_000_000;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function memory(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function replay(
  ledger: LongLedger,
  entries: AsyncIterable<ExportEntry>,
  onBatch?: (size: bigint) => void,
): Promise<ReplayResult> {
  return replayLedger(decodeExport(encodeExport(entries)), {
    networkId: ledger.networkId,
    verifier: createNodeVerifier(),
    depth: "full",
    engine,
    ...(onBatch === undefined ? {} : { onBatch }),
  });
}

describe(`a ledger with ${rounds * 2 * exchangesOfRound} records of evidence`, () => {
  let ledger: LongLedger;

  before(async () => {
    ledger = await LongLedger.create("soak");
  });

  test("is matched to its last exchange, and each one costs the auditor little more than its names", async () => {
    let batches = 0;
    let half = 0;
    let whole = 0;
    const result = await replay(ledger, ledger.entries(rounds), () => {
      batches += 1;
      if (isLong && batches === rounds) half = memory();
      if (isLong && batches === 2 * rounds) whole = memory();
    });
    const exchanges = rounds * exchangesOfRound;
    assert.deepEqual(result.findings, []);
    assert.deepEqual(result.attempts, { attempts: exchanges, matched: exchanges, open: 0 });
    assert.equal(result.decisions?.same, exchanges);
    const bytes = Math.round((whole - half) / (exchanges / 2));
    if (isLong) process.stderr.write(`${bytes} bytes an exchange, ${whole >> 20} MiB in all\n`);
    assert.ok(bytes < 250, `${bytes} bytes an exchange`);
  });

  test("what was said at its beginning is held against what is said at its end, and an exchange that nobody acknowledged is found", async () => {
    const other = await LongLedger.create("soak");
    let first: { receipt: Uint8Array; acknowledgement: Uint8Array } | undefined;
    const result = await replay(
      other,
      other.entries(rounds, (number, { receipts, acknowledgements }) => {
        if (acknowledgements.length === 0) {
          if (number === rounds - 1) receipts.push((first as { receipt: Uint8Array }).receipt);
          return;
        }
        if (number === 0) {
          const [receipt, acknowledgement] = [receipts[0], acknowledgements[0]];
          first = {
            receipt: receipt as Uint8Array,
            acknowledgement: acknowledgement as Uint8Array,
          };
          acknowledgements.pop();
        }
        if (number === rounds - 1) {
          acknowledgements.push((first as { acknowledgement: Uint8Array }).acknowledgement);
        }
      }),
    );
    const last = result.size - 1n;
    const found = result.findings.map(({ code, index, fields }) => [code, index, fields["by"]]);
    const expected = [
      ["ATTEMPT_REPEATED", last - 1n, "token"],
      ["CONSUMER_CLOSED_TWICE", last, undefined],
      ["CONSUMER_CLOSING_MISSING", 5n, undefined],
    ];
    assert.deepEqual(found, expected);
  });
});
