import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { decodeExport } from "../../src/audit/export-file.ts";
import { replayLedger } from "../../src/audit/replay.ts";
import { encodeAggregate, encodeConsumerRefusal } from "../../src/exchange/consumer-records.ts";
import { FactSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { recordHash } from "../../src/record/record.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayRevocation } from "../support/statements.ts";
import { AuditLedger, engine, writeMethod } from "./audit-ledger.ts";

/** Every kind of record that two honest gateways leave. */
async function everyKind(): Promise<AuditLedger> {
  const audit = await AuditLedger.create();
  const { provider, consumer, ledger } = audit;
  await audit.read();

  const write = audit.call({ method: writeMethod });
  const opened = audit.opened(write);
  await audit.seal(provider, [opened]);
  const receipt = await audit.seal(provider, [audit.receipt(write, opened)]);
  await audit.seal(consumer, [audit.acknowledgement(write, receipt)]);

  const denied = audit.call({ purpose: "statistics" });
  const refusal = await audit.seal(provider, [audit.refusal(denied)]);
  await audit.seal(consumer, [audit.consumerClosed(denied, "refused", { refusal })]);
  await audit.seal(consumer, [
    encodeConsumerRefusal({
      stage: "grant",
      reason: "GRANT_MISSING",
      system: "registry",
      callCommitment: sha256(utf8("call")),
      method: undefined,
      methodCommitment: sha256(utf8("method")),
    }),
    encodeAggregate({
      side: "consumer",
      reason: "GRANT_MISSING",
      caller: { system: "registry" },
      count: 40,
      firstAtMs: ledger.nowMs,
      lastAtMs: ledger.nowMs,
    }),
    statusRecord(),
  ]);

  const failed = audit.call({ method: writeMethod });
  const failedOpened = audit.opened(failed);
  await audit.seal(provider, [failedOpened]);
  const closed = await audit.seal(provider, [audit.closed(failed, failedOpened)]);
  await audit.seal(consumer, [audit.consumerClosed(failed, "refused", { refusal: closed })]);

  const first = audit.call();
  await audit.seal(consumer, [audit.consumerClosed(first, "no-answer", { nextAttempt: 2 })]);
  await audit.read({ xid: first.statement.xid, attempt: 2 });

  const forgotten = audit.call();
  await audit.seal(provider, [audit.receipt(forgotten)]);
  await audit.seal(consumer, [audit.consumerClosed(forgotten, "unknown-after-restart")]);

  await revokedInFlight(audit);
  return audit;
}

/** The revocation is accepted while a write is under way, and named before it is on the ledger. */
async function revokedInFlight(audit: AuditLedger): Promise<void> {
  const { provider, consumer, network, grantSaid } = audit;
  const revocation = sayRevocation(network, grantSaid);
  const record = recordHash(revocation.record);
  const fact = create(FactSchema, { name: { case: "record", value: { hash: record } } });
  const late = audit.call({ early: [{ taken: audit.grant, record }] });
  const write = audit.call({ method: writeMethod });
  const opened = audit.opened(write);
  await audit.seal(provider, [opened]);
  const ends = await audit.seal(provider, [
    audit.closed(write, opened, {
      outcome: "revoked",
      reason: "GRANT_REVOKED",
      decision: write.decision,
      recheck: { reason: "GRANT_REVOKED", seenSize: audit.ledger.size, fact },
    }),
    audit.refusal(late),
  ]);
  await audit.seal(consumer, [
    audit.consumerClosed(write, "refused", { refusal: ends }),
    audit.consumerClosed(late, "refused", { refusal: { ...ends, position: 1 } }),
  ]);
  await audit.govern(provider, [revocation]);
  const after = audit.call();
  const refusal = await audit.seal(provider, [audit.refusal(after)]);
  await audit.seal(consumer, [audit.consumerClosed(after, "refused", { refusal })]);
}

test("a ledger of every kind of record between honest gateways has no finding", async () => {
  const audit = await everyKind();
  const result = await audit.replay();
  assert.deepEqual(result.findings, []);
  assert.equal(result.firstBadIndex, undefined);
  assert.equal(result.size, audit.ledger.size);
  assert.equal(result.attempts.open, 0);
  assert.equal(result.attempts.matched, 9);
  assert.equal(result.decisions?.same, result.decisions?.total);
  assert.deepEqual(
    result.notChecked.map(({ what }) => what),
    ["freshness"],
  );
});

test("an export read back from its bytes, cut anywhere, replays to the same ledger", async () => {
  const audit = await everyKind();
  const bytes = await audit.bytes();
  const { network } = audit;
  const direct = await audit.replay();
  for (const step of [1, 7, 1000, bytes.length]) {
    const chunks = function* (): Generator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
    };
    const options = {
      networkId: network.id,
      verifier: network.verifier,
      depth: "full",
      engine,
    } as const;
    assert.deepEqual(await replayLedger(decodeExport(chunks()), options), direct);
  }
});

test("a newer note of the same size shows freshness", async () => {
  const audit = await AuditLedger.create();
  audit.ledger.nowMs += 60_000;
  const result = await audit.replay({ laterCheckpoint: audit.note() });
  assert.deepEqual(result.findings, []);
  assert.deepEqual(result.notChecked, []);
});

test("what is young at the open end of the ledger is open, and no finding", async () => {
  const audit = await AuditLedger.create();
  const write = audit.call({ method: writeMethod });
  await audit.seal(audit.provider, [audit.opened(write)]);
  const result = await audit.replay();
  assert.deepEqual(result.findings, []);
  assert.equal(result.attempts.open, 1);
});

test("an integrity replay says that decisions were not checked", async () => {
  const audit = await everyKind();
  const result = await audit.replay({ depth: "integrity" });
  assert.deepEqual(result.findings, []);
  assert.deepEqual(
    result.notChecked.map(({ what }) => what),
    ["freshness", "decisions"],
  );
});
