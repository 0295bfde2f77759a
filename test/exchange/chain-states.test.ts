/** What a chain says of its own attempts, when the journal's state is worked out again from it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import { ChainStates } from "../../src/exchange/chain-states.ts";
import { erasedNumber, erasedStateKey } from "../../src/exchange/erased-openings.ts";
import { KnownAttempts } from "../../src/exchange/known-attempts.ts";
import { missingStateKey } from "../../src/exchange/missing-receipts.ts";
import { parseOpenAttempt } from "../../src/exchange/open-attempts.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import { callTokenDigest } from "../../src/credential/call-token.ts";
import {
  Check,
  type Record as RecordMessage,
  RecordSchema,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { StateChange } from "../../src/ledger/ports.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import {
  encodeRecord,
  type LedgerRecord,
  openRecord,
  recordHash,
} from "../../src/record/record.ts";
import { recordOfKind } from "../support/records.ts";

const sealedAtMs = 1_700_000_000_000;

type RecordBody = Exclude<RecordMessage["body"], { case: undefined }>;

/** Some record of one case, with its body changed. */
function recordOf<C extends RecordBody["case"]>(
  name: C,
  change: (value: Extract<RecordBody, { case: C }>["value"]) => void,
): Uint8Array {
  const isCase = ({ body }: LedgerRecord): boolean => body.case === name;
  const [record] = fc.sample(recordOfKind("evidence").filter(isCase), { numRuns: 1, seed: 7 });
  assert.ok(record !== undefined);
  const { body } = record as { body: RecordBody };
  change(body.value as never);
  return encodeRecord(create(RecordSchema, { body } as never));
}

function opened(): { record: Uint8Array; key: string; xid: string } {
  let key = "";
  let xid = "";
  const record = recordOf("opened", ({ begin }) => {
    const call = begin?.call;
    assert.ok(call !== undefined);
    key = attemptKey(callTokenDigest(call.token), call.index);
    xid = toHex(openCallStatement(call.statement).xid);
  });
  return { record, key, xid };
}

/** Some acknowledgement of the one attempt, by its key. */
function acknowledged(
  final: boolean,
  check: Check,
  segment = 1,
): { readonly record: Uint8Array; readonly key: string } {
  let key = "";
  const record = recordOf("acknowledgement", (value) => {
    Object.assign(value, { final, check });
    assert.ok(value.progress !== undefined);
    value.progress.segment = segment;
    key = attemptKey(value.tokenDigest, value.index);
  });
  return { record, key };
}

/** What a journal holds after these changes. */
function stored(changes: readonly StateChange[]): { key: string; value: Uint8Array }[] {
  const states = new Map<string, Uint8Array>();
  for (const { key, value } of changes) {
    if (value === undefined) states.delete(key);
    else states.set(key, value);
  }
  return [...states].map(([key, value]) => ({ key, value }));
}

describe("the states of a chain", () => {
  it("have an attempt open from its Opened to the record that follows it", () => {
    const { record, key, xid } = opened();
    const states = new ChainStates();
    const [open] = states.changesOf([record], sealedAtMs);
    assert.equal(open?.key, `provider/open/${key}`);
    const attempt = parseOpenAttempt(open.value as Uint8Array);
    assert.deepEqual(
      [toHex(attempt.xid), toHex(attempt.prevRecord)],
      [xid, toHex(recordHash(record))],
    );
    const closed = recordOf("closed", (value) => {
      value.side = Side.PROVIDER;
      value.prevRecord = recordHash(record);
    });
    assert.deepEqual(states.changesOf([closed], sealedAtMs), [{ key: `provider/open/${key}` }]);
    assert.deepEqual(states.changesOf([closed], sealedAtMs), []);
  });

  it("have it closed by its final receipt, and open on after one that is not", () => {
    const { record, key } = opened();
    const follows = (before: Uint8Array, final: boolean): Uint8Array =>
      recordOf("receipt", (value) => {
        value.start = {
          case: "prevRecord",
          value: { $typeName: "causeway.record.v1.RecordHash", hash: recordHash(before) },
        };
        value.final = final;
      });
    const first = follows(record, false);
    const last = follows(first, true);
    const changes = new ChainStates().changesOf([record, first, last], sealedAtMs);
    assert.deepEqual(
      changes.map((change) => [change.key, change.value === undefined]),
      [
        [`provider/open/${key}`, false],
        [`provider/open/${key}`, false],
        [`provider/open/${key}`, true],
      ],
    );
  });

  it("know an attempt of the consumer from the acknowledgement that closes it", () => {
    const keys = (record: Uint8Array): readonly string[] =>
      new ChainStates().changesOf([record], sealedAtMs).map((change) => change.key);
    const [final, failed] = [acknowledged(true, Check.MATCH), acknowledged(false, Check.SEEN_FORK)];
    assert.deepEqual(keys(final.record), [`consumer/closed/${final.key}`]);
    assert.deepEqual(keys(failed.record), [`consumer/closed/${failed.key}`]);
  });

  it("have an attempt of the consumer left open behind its newest acknowledgement", () => {
    const first = acknowledged(false, Check.MATCH, 1);
    const second = acknowledged(false, Check.MATCH, 2);
    const known = new KnownAttempts();
    const changes = new ChainStates().changesOf([first.record, second.record], sealedAtMs);
    known.load(stored(changes));
    assert.deepEqual(
      known.takeLeftOpen().map(({ outcome, prevRecord }) => [outcome, prevRecord]),
      [["unknown-after-restart", recordHash(second.record)]],
    );
    assert.equal(known.has(first.key), true);
  });

  it("have nothing left open of an attempt that an acknowledgement or a closing ends", () => {
    const open = acknowledged(false, Check.MATCH);
    const closed = recordOf("closed", (value) => {
      const { body } = openRecord(open.record);
      assert.ok(body.case === "acknowledgement");
      const { tokenDigest, index } = body.value;
      Object.assign(value, { side: Side.CONSUMER, tokenDigest, index });
    });
    for (const end of [acknowledged(true, Check.MATCH).record, closed]) {
      const known = new KnownAttempts();
      known.load(stored(new ChainStates().changesOf([open.record, end], sealedAtMs)));
      assert.deepEqual(known.takeLeftOpen(), []);
      assert.equal(known.has(open.key), true);
    }
  });

  it("say when an attempt of the consumer was closed: a start forgets it as if its journal was never lost", () => {
    const record = recordOf("acknowledgement", (value) => {
      value.final = true;
    });
    const [change] = new ChainStates().changesOf([record], sealedAtMs);
    const attempt = change?.key.slice("consumer/closed/".length) ?? "";
    const known = new KnownAttempts();
    known.load([{ key: change?.key ?? "", value: change?.value ?? new Uint8Array() }]);
    const forgotten = (settledMs: number): boolean => {
      known.settled(settledMs);
      known.closing("another", sealedAtMs + 1);
      return !known.has(attempt);
    };
    assert.deepEqual([forgotten(sealedAtMs), forgotten(sealedAtMs + 1)], [false, true]);
  });

  it("know which records of others were reported as missing", () => {
    const leaf = new Uint8Array(200).fill(7);
    const record = recordOf("receiptMissing", (value) => {
      value.leaf = leaf;
      value.position = 3;
    });
    const changes = new ChainStates().changesOf([record], sealedAtMs);
    assert.deepEqual(changes, [
      { key: missingStateKey(leafHash(leaf), 3), value: new Uint8Array() },
    ]);
  });

  it("know how many erasures of openings are on record", () => {
    const states = new ChainStates();
    const erased = recordOf("openingsErased", () => undefined);
    states.changesOf([erased], sealedAtMs);
    const changes = states.changesOf([erased, erased], sealedAtMs);
    assert.deepEqual(
      changes.map(({ key, value }) => [key, erasedNumber(value)]),
      [
        [erasedStateKey, 2],
        [erasedStateKey, 3],
      ],
    );
  });
});
