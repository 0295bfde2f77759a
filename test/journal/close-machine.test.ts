import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type ClosedBatch,
  type CloseEffect,
  type CloseEvent,
  createCloseState,
  stepClose,
  wantsTurn,
} from "../../src/ledger/journal/close-machine.ts";
import type { QueuedRecord, Recheck, Seen } from "../../src/ledger/ports.ts";

const limits = { recordsMax: 4, bytesMax: 40, queueBytesMax: 200 };
const second = 1000;

interface Put {
  readonly kind: "governance" | "evidence";
  readonly bytes: number;
  readonly decidedBeforeMs: number;
  readonly verdict: "stands" | "dropped" | "replaced" | "none";
  readonly replacementBytes: number;
}

type Act =
  | { readonly act: "put"; readonly put: Put }
  | { readonly act: "turn" | "sealed" | "stop" }
  | { readonly act: "clock"; readonly byMs: number }
  | { readonly act: "seen"; readonly by: number }
  | { readonly act: "halt" | "lift" };

/** Runs the machine beside a slow record of what it may and may not do. */
class Harness {
  readonly state = createCloseState<number>({ limits });
  readonly puts: Put[] = [];
  /** How each caller was answered: released, dropped or a reason code. */
  readonly ended = new Map<number, string>();
  readonly closed: ClosedBatch<number>[] = [];
  outstanding: ClosedBatch<number> | undefined;
  nowMs = 1_000_000;
  seenSize = 5;
  stopped = false;

  run(act: Act): void {
    if (act.act === "put") this.put(act.put);
    else if (act.act === "turn") this.turn();
    else if (act.act === "sealed") this.sealed();
    else if (act.act === "clock") this.nowMs = Math.max(0, this.nowMs + act.byMs);
    else if (act.act === "seen") this.seenSize = Math.max(0, this.seenSize + act.by);
    else if (act.act === "stop") this.send({ kind: "stop" });
    else this.send({ kind: act.act === "halt" ? "halted" : "lifted", code: "JOURNAL_ROLLED_BACK" });
  }

  put(put: Put): void {
    const ticket = this.puts.push(put) - 1;
    const nowMs = this.nowMs;
    this.send({ kind: "queued", record: this.#queued(put, ticket), ticket, nowMs });
  }

  turn(): void {
    const root = new Uint8Array(32).fill(this.seenSize);
    this.send({ kind: "turn", nowMs: this.nowMs, seen: { size: BigInt(this.seenSize), root } });
  }

  sealed(): void {
    if (this.outstanding !== undefined) this.send({ kind: "sealed", result: "proof" });
  }

  #queued(put: Put, ticket: number): QueuedRecord {
    const decidedAtMs = Math.max(0, this.nowMs - put.decidedBeforeMs);
    const plain = { kind: put.kind, record: bytes(put.bytes, ticket), decidedAtMs, states: [] };
    if (put.verdict === "none") return plain;
    return { ...plain, recheck: (seen) => this.#recheck(put, ticket, seen.size) };
  }

  #recheck(put: Put, ticket: number, size: bigint): Recheck {
    assert.equal(size, BigInt(this.seenSize), "the recheck sees another size than the turn");
    assert.ok(!this.ended.has(ticket), "a record was checked after its caller was answered");
    if (put.verdict !== "replaced") return { kind: put.verdict as "stands" };
    return { kind: "replaced", record: bytes(put.replacementBytes, ticket), states: [] };
  }

  send(event: CloseEvent<number, string>): void {
    for (const effect of stepClose(this.state, event)) this.#perform(effect);
    if (this.stopped) assert.equal(this.ended.size, this.puts.length);
  }

  #perform(effect: CloseEffect<number, string>): void {
    switch (effect.kind) {
      case "post":
        assert.equal(this.outstanding, undefined, "two batches are outstanding");
        this.outstanding = effect.batch;
        this.closed.push(effect.batch);
        return;
      case "release":
        assert.equal(effect.batch, this.outstanding);
        this.outstanding = undefined;
        for (const { ticket } of effect.batch.records) this.#end(ticket, "released");
        return;
      case "drop":
        return this.#end(effect.ticket, "dropped");
      case "reject":
        assert.ok(effect.error instanceof CausewayError);
        return this.#end(effect.ticket, effect.error.code);
      case "stopped":
        assert.ok(!this.stopped, "it stopped twice");
        this.stopped = true;
        return;
      case "exit":
        assert.fail("nothing failed");
    }
  }

  #end(ticket: number, how: string): void {
    assert.ok(!this.ended.has(ticket), `caller ${ticket} was answered twice`);
    this.ended.set(ticket, how);
  }
}

function bytes(count: number, ticket: number): Uint8Array {
  return new Uint8Array(count).fill(ticket % 256);
}

const put: fc.Arbitrary<Put> = fc.record({
  kind: fc.constantFrom("governance", "evidence"),
  bytes: fc.integer({ min: 1, max: 41 }),
  decidedBeforeMs: fc.integer({ min: -1500, max: 5000 }),
  verdict: fc.constantFrom("stands", "stands", "dropped", "replaced", "none"),
  replacementBytes: fc.integer({ min: 1, max: 40 }),
});

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 5, arbitrary: put.map((one): Act => ({ act: "put", put: one })) },
  { weight: 3, arbitrary: fc.constant<Act>({ act: "turn" }) },
  { weight: 3, arbitrary: fc.constant<Act>({ act: "sealed" }) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -3000, max: 3000 }).map((byMs): Act => ({ act: "clock", byMs })),
  },
  { weight: 1, arbitrary: fc.integer({ min: -1, max: 3 }).map((by): Act => ({ act: "seen", by })) },
  { weight: 1, arbitrary: fc.constantFrom<Act>({ act: "halt" }, { act: "lift" }) },
);

function run(sequence: readonly Act[]): Harness {
  const harness = new Harness();
  for (const one of sequence) harness.run(one);
  return harness;
}

const sequences = fc.array(act, { maxLength: 150 });

describe("the close machine under any order of events", () => {
  it("answers every caller exactly once by its end", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        const harness = run([...sequence, { act: "stop" }]);
        for (let i = 0; i < 500 && !harness.stopped; i++) {
          harness.turn();
          harness.sealed();
        }
        assert.ok(harness.stopped, "it does not come to its end");
        assert.equal(harness.ended.size, harness.puts.length);
      }),
      { numRuns: 500 },
    );
  });

  it("closes batches of one kind within the limits", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        const harness = run(sequence);
        for (const { kind, records } of harness.closed) {
          assert.ok(records.length >= 1 && records.length <= limits.recordsMax);
          const total = records.reduce((sum, { record }) => sum + record.length, 0);
          assert.ok(total <= limits.bytesMax, `${total} bytes`);
          for (const { ticket } of records) assert.equal(harness.puts[ticket]?.kind, kind);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("keeps the order of arrival within a kind, and seals what was rechecked", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        const harness = run(sequence);
        for (const kind of ["governance", "evidence"] as const) {
          const batches = harness.closed.filter((batch) => batch.kind === kind);
          const tickets = batches.flatMap(({ records }) => records.map(({ ticket }) => ticket));
          assert.deepEqual(
            tickets,
            tickets.toSorted((a, b) => a - b),
          );
        }
        for (const { ticket, record, replaced } of harness.closed.flatMap(
          ({ records }) => records,
        )) {
          const { verdict, bytes: own, replacementBytes } = harness.puts[ticket] as Put;
          assert.equal(replaced, verdict === "replaced");
          assert.notEqual(verdict, "dropped");
          assert.equal(record.length, replaced ? replacementBytes : own);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("never goes back in seal time or seen size, and puts no decision after its seal", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        let sealedAtMs = 0;
        let seenSize = 0n;
        for (const batch of run(sequence).closed) {
          assert.ok(batch.sealedAtMs >= sealedAtMs);
          assert.ok(batch.seen.size >= seenSize);
          assert.ok(batch.firstAtMs <= batch.sealedAtMs);
          ({ sealedAtMs } = batch);
          seenSize = batch.seen.size;
        }
      }),
      { numRuns: 500 },
    );
  });

  it("never seals a time more than a second ahead of the clock", () => {
    fc.assert(
      fc.property(sequences, (sequence) => {
        const harness = new Harness();
        for (const one of sequence) {
          const before = harness.closed.length;
          harness.run(one);
          for (const { sealedAtMs } of harness.closed.slice(before)) {
            assert.ok(sealedAtMs <= harness.nowMs + second);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("the close machine", () => {
  const standing: Put = {
    kind: "evidence",
    bytes: 10,
    decidedBeforeMs: 0,
    verdict: "stands",
    replacementBytes: 1,
  };

  it("opens the next batch with a record whose replacement does not fit, and checks it there again", () => {
    const harness = new Harness();
    harness.put({ ...standing, bytes: 30 });
    const checkedAt: bigint[] = [];
    const recheck = ({ size }: Seen): Recheck => {
      checkedAt.push(size);
      return { kind: "replaced", record: bytes(20, 1), states: [] };
    };
    const record = { kind: "evidence", record: bytes(5, 1), decidedAtMs: 0, states: [] } as const;
    const { nowMs, seenSize } = harness;
    harness.send({ kind: "queued", record: { ...record, recheck }, ticket: 1, nowMs });
    harness.turn();
    harness.seenSize += 1;
    harness.sealed();
    harness.turn();
    assert.deepEqual(checkedAt, [BigInt(seenSize), BigInt(seenSize + 1)]);
    assert.equal(harness.closed[1]?.seen.size, BigInt(seenSize + 1));
    const lengths = harness.closed.map(({ records }) => records.map(({ record }) => record.length));
    assert.deepEqual(lengths, [[30], [20]]);
    assert.equal(harness.closed[1]?.records[0]?.replaced, true);
  });

  it("seals governance before the evidence that has waited longer, and rests on it", () => {
    const harness = new Harness();
    for (const kind of ["evidence", "evidence", "governance", "evidence"] as const) {
      harness.put({ ...standing, kind, bytes: 1 });
    }
    harness.turn();
    harness.sealed();
    harness.turn();
    const tickets = harness.closed.map(({ kind, records }) => [
      kind,
      ...records.map(({ ticket }) => ticket),
    ]);
    assert.deepEqual(tickets, [
      ["governance", 2],
      ["evidence", 0, 1, 3],
    ]);
  });

  it("refuses a replacement that fits no batch", () => {
    const harness = new Harness();
    const recheck = (): Recheck => ({ kind: "replaced", record: new Uint8Array(41), states: [] });
    const record: QueuedRecord = {
      kind: "evidence",
      record: bytes(1, 0),
      decidedAtMs: 0,
      states: [],
      recheck,
    };
    stepClose(harness.state, { kind: "queued", record, ticket: 0, nowMs: 0 });
    const seen = { size: 0n, root: new Uint8Array(32) };
    const effects = stepClose(harness.state, { kind: "turn", nowMs: 0, seen });
    assert.deepEqual(
      effects.map(({ kind }) => kind),
      ["reject"],
    );
    assert.equal(wantsTurn(harness.state), false);
  });

  it("says nothing more after a failure, and ends the process", () => {
    const harness = new Harness();
    harness.put(standing);
    harness.turn();
    harness.put(standing);
    const cause = new Error("fsync");
    assert.deepEqual(stepClose(harness.state, { kind: "failed", cause }), [
      { kind: "exit", cause },
    ]);
    assert.deepEqual(stepClose(harness.state, { kind: "sealed", result: "proof" }), []);
    assert.deepEqual(stepClose(harness.state, { kind: "stop" }), []);
    assert.equal(wantsTurn(harness.state), false);
    assert.equal(harness.ended.size, 0);
  });
});
