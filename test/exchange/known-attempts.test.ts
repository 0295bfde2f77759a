import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { KnownAttempts, recordableMs } from "../../src/exchange/known-attempts.ts";
import type { StateChange } from "../../src/ledger/ports.ts";

/** A consumer whose provider puts every attempt on the ledger, once. */
class Model {
  readonly stored = new Map<string, Uint8Array>();
  readonly ledger: (readonly string[])[] = [];
  readonly closings = new Map<string, number>();
  readonly sent: string[] = [];
  known = new KnownAttempts();
  nowMs = 1;
  #open: string[] = [];
  #started = 0;

  start(): void {
    const attempt = `a${this.#started++}`;
    this.known.opened(attempt);
    this.#open.push(attempt);
    this.sent.push(attempt);
  }

  /** The provider's records of the oldest attempts that it has sent none of become final in one batch. */
  include(count: number): void {
    this.ledger.push(this.sent.splice(0, count));
  }

  /** Closes one open attempt of this start, whether or not its seal succeeds. */
  close(pick: number, isSealed: boolean): void {
    const [attempt] = this.#open.splice(pick % Math.max(1, this.#open.length), 1);
    if (attempt !== undefined) this.#seal(attempt, isSealed, true);
  }

  #seal(attempt: string, isSealed: boolean, isOwn: boolean): void {
    const changes = this.known.closing(attempt, this.nowMs);
    const index = Number(attempt.slice(1));
    const name = { xid: new Uint8Array(16), attempt: 1, tokenDigest: new Uint8Array(32), index };
    if (isSealed) this.#commit(attempt, changes);
    else this.known.notSealed(attempt, changes, isOwn ? name : undefined);
  }

  #commit(attempt: string, changes: readonly StateChange[]): void {
    this.closings.set(attempt, (this.closings.get(attempt) ?? 0) + 1);
    for (const { key, value } of changes) {
      if (value === undefined) this.stored.delete(key);
      else this.stored.set(key, value);
    }
    this.known.sealed(changes);
  }

  /** Looks at what is final; without seals it gives up at the first that is unknown. */
  scan(isSealed: boolean): void {
    for (const { name } of this.known.takeLeftOpen()) this.#seal(`a${name.index}`, isSealed, true);
    for (let i = Number(this.known.scanned); i < this.ledger.length; i++) {
      for (const attempt of this.ledger[i] ?? []) {
        if (!this.known.has(attempt)) {
          this.#seal(attempt, isSealed, false);
          if (!isSealed) return;
        }
        this.known.matched(attempt, BigInt(i));
      }
      this.known.scannedTo(BigInt(i) + 1n);
    }
  }

  crash(): void {
    this.known = new KnownAttempts();
    this.known.load([...this.stored].map(([key, value]) => ({ key, value })));
    this.#open = [];
  }

  closeAll(): void {
    while (this.#open.length > 0) this.close(0, true);
  }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant("start" as const) }),
  fc.record({ kind: fc.constant("include" as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    kind: fc.constant("close" as const),
    pick: fc.nat(),
    isSealed: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  }),
  fc.record({
    kind: fc.constant("scan" as const),
    isSealed: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  }),
  fc.record({ kind: fc.constant("crash" as const) }),
);

function run(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]): Model {
  const model = new Model();
  for (const event of steps) {
    if (event.kind === "start") model.start();
    else if (event.kind === "include") model.include(event.count);
    else if (event.kind === "close") model.close(event.pick, event.isSealed);
    else if (event.kind === "scan") model.scan(event.isSealed);
    else model.crash();
  }
  model.include(model.sent.length);
  model.closeAll();
  model.scan(true);
  return model;
}

test("every attempt that the provider has on record is closed once, through any crashes and failed seals", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { ledger, closings } = run(steps);
      for (const attempt of ledger.flat()) assert.equal(closings.get(attempt), 1, attempt);
    }),
    { numRuns: 2000 },
  );
});

test("what is stored does not grow with the attempts that are over", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = run(steps);
      for (let i = 0; i < 3; i++) {
        model.start();
        model.include(1);
        model.scan(true);
        model.closeAll();
      }
      // The newest closing and how far was looked.
      assert.ok(model.stored.size <= 3, [...model.stored.keys()].join(" "));
    }),
    { numRuns: 500 },
  );
});

/** Closes attempts that the provider has no record of, and says how many states are stored of them. */
function closeUnrecorded(model: Model, count: number): number {
  for (let i = 0; i < count; i++) {
    model.start();
    model.sent.pop();
    model.close(0, true);
  }
  return [...model.stored.keys()].filter((key) => key.startsWith("consumer/closed/")).length;
}

test("what no provider records is forgotten once none can any more, a restart between or not", () => {
  for (const isRestarted of [false, true]) {
    const model = new Model();
    assert.equal(closeUnrecorded(model, 200), 200);
    if (isRestarted) model.crash();
    model.known.settled(model.nowMs);
    assert.equal(closeUnrecorded(model, 1), 201);
    model.nowMs += 1;
    model.known.settled(model.nowMs);
    // Some at a time, and more than are closed.
    assert.equal(closeUnrecorded(model, 1), 138);
    assert.equal(closeUnrecorded(model, 3), 4);
    assert.ok(!model.known.has("a0"));
    assert.ok(model.known.has("a204"));
  }
});

test("what was to be forgotten with a closing that is not sealed is forgotten with the next one", () => {
  const model = new Model();
  closeUnrecorded(model, 3);
  model.nowMs += 1;
  model.known.settled(model.nowMs);
  model.start();
  model.sent.pop();
  model.close(0, false);
  assert.equal(model.stored.size, 3);
  assert.ok(model.known.has("a0"));
  model.scan(true);
  assert.equal(closeUnrecorded(model, 1), 2);
});

test("a record of an honest provider is final as long after a closing as token, link and ledger may take", () => {
  const bounds = { token_life_s: 60, skew_s: 5, inclusion_bound_s: 60 };
  assert.equal(recordableMs(bounds), 155_000);
});
