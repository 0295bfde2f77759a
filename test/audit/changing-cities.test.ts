import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type ChangedLedger, changedLedger } from "./changing-ledger.ts";

let changed: ChangedLedger;

before(async () => {
  changed = await changedLedger("changing");
});

describe("a ledger whose cities, quorum, keys and sequencer changed", () => {
  test("replays without a finding", async () => {
    const result = await changed.audit.replay({ laterCheckpoint: changed.audit.note() });
    assert.deepEqual(result.findings, []);
    assert.deepEqual(result.notChecked, []);
    assert.equal(result.size, changed.audit.ledger.size);
  });
});
