/** Quotas counted again over many attempts; how they are counted, test/gateway/quota-usage.test.ts tells. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Finding } from "../../src/audit/findings.ts";
import { Quotas } from "../../src/audit/quotas.ts";
import { initialState } from "../../src/registry/initial.ts";
import {
  type Record as LedgerRecord,
  RecordSchema,
} from "../../src/gen/causeway/record/v1/record_pb.ts";

const gateways = ["hangzhou/civil-affairs/gw1", "hangzhou/civil-affairs/gw2"];
const { grants } = initialState(new Uint8Array(32));
const recordHash = new Uint8Array(32);

/** A receipt that says so many attempts before it, and that none is on the ledger below its decided size. */
function receipt(usedInChain: number, decidedSize: bigint): LedgerRecord {
  const quota = { periodStart: 1n, usedInChain: BigInt(usedInChain), limit: 1_000_000n };
  const decision = { grantJti: "one", decidedSize, quota };
  return create(RecordSchema, {
    body: { case: "receipt", value: { start: { case: "begin", value: { decision } } } },
  });
}

test("each attempt costs the same, also behind one that failed, and under a size from long ago", () => {
  const findings: Finding[] = [];
  const quotas = new Quotas((finding) => findings.push(finding));
  // The first attempt of each gateway failed when a second one had been decided beside it.
  const records = Array.from({ length: 30_000 }, (_, n) => receipt(1 + Math.floor(n / 2), 1n));
  const before = process.cpuUsage().user;
  for (const [n, record] of records.entries()) {
    const gateway = gateways[n % 2] as string;
    const place = { index: BigInt(n + 1), position: 0, gateway };
    quotas.take(record, { place, recordHash }, { grants });
  }
  const tookMs = (process.cpuUsage().user - before) / 1000;
  quotas.finish();
  assert.deepEqual(findings, []);
  assert.ok(tookMs < 1000, `${tookMs} ms`);
});

test("what says less than stood before it is named by its own place, as is the newest that leaves too little room", () => {
  const findings: Finding[] = [];
  const quotas = new Quotas((finding) => findings.push(finding));
  const gateway = gateways[0] as string;
  for (const [n, said] of [0, 1, 0, 4, 4, 4, 4].entries()) {
    const place = { index: 70_000_000_000n + BigInt(n), position: 4000 + n, gateway };
    quotas.take(receipt(said, 0n), { place, recordHash }, { grants });
  }
  quotas.finish();
  assert.deepEqual(
    findings.map(({ code, index, position, fields }) => [code, index, position, fields]),
    [
      ["QUOTA_MISCOUNTED", 70_000_000_002n, 4002, { recorded: "0", counted: "2" }],
      ["QUOTA_MISCOUNTED", 70_000_000_006n, 4006, { recorded: "4", counted: "5" }],
    ],
  );
});
