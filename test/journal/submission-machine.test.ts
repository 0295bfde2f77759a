import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { submissionsInFlightMax } from "../../src/base/limits.ts";
import {
  createSubmissionState,
  stepSubmission,
  type SubmissionEffect,
  type SubmissionEvent,
  type SubmissionState,
} from "../../src/ledger/journal/submission-machine.ts";

function submits(effects: readonly SubmissionEffect[]): readonly number[] {
  return effects.flatMap((effect) => (effect.kind === "submit" ? [effect.number] : []));
}

function timers(effects: readonly SubmissionEffect[]): readonly number[] {
  return effects.flatMap((effect) => (effect.kind === "timer" ? [effect.afterMs] : []));
}

function startWith(
  count: number,
  finalCount = 0,
): { state: SubmissionState; first: readonly number[] } {
  const state = createSubmissionState({ sealedCount: 0, finalCount });
  return { state, first: submits(stepSubmission(state, { kind: "sealed", count })) };
}

function included(number: number): SubmissionEvent {
  return { kind: "included", number, index: BigInt(number + 100), term: 0n };
}

function final(number: number): SubmissionEvent {
  return {
    kind: "final",
    number,
    index: BigInt(number + 100),
    term: 0n,
    size: BigInt(number + 101),
  };
}

describe("submission", () => {
  it("begins with what an earlier process left, in the order of the chain and within its bound", () => {
    const { first } = startWith(submissionsInFlightMax + 24, 7);
    assert.deepEqual(
      first,
      Array.from({ length: submissionsInFlightMax }, (_, i) => i + 7),
    );
  });

  it("marks submitted, included and final", () => {
    const { state } = startWith(0);
    const marks = [{ kind: "sealed", count: 1 } as const, included(0), final(0)].flatMap((event) =>
      stepSubmission(state, event).flatMap((effect) =>
        effect.kind === "mark" ? [effect.mark] : [],
      ),
    );
    assert.deepEqual(marks, [
      { number: 0, stage: "submitted" },
      { number: 0, stage: "included", index: 100n, term: 0n },
      { number: 0, stage: "final", index: 100n, term: 0n, finalSize: 101n },
    ]);
  });

  it("goes on in single file after a failure, and at full width once a batch is included", () => {
    const { state, first } = startWith(submissionsInFlightMax + 14);
    assert.equal(first.length, submissionsInFlightMax);
    const failures = first.map((number) => stepSubmission(state, { kind: "unavailable", number }));
    assert.deepEqual(failures.flatMap(submits), []);
    assert.equal(failures.flatMap(timers).length, 1);
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), [0]);
    const after = submits(stepSubmission(state, included(0)));
    assert.deepEqual(
      after,
      Array.from({ length: submissionsInFlightMax }, (_, i) => i + 1),
    );
  });

  it("doubles its delay up to five seconds and begins again after an inclusion", () => {
    const { state } = startWith(1);
    const delays: number[] = [];
    for (let i = 0; i < 8; i++) {
      delays.push(...timers(stepSubmission(state, { kind: "unavailable", number: 0 })));
      stepSubmission(state, { kind: "timer" });
    }
    assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    stepSubmission(state, included(0));
    stepSubmission(state, { kind: "sealed", count: 2 });
    assert.deepEqual(timers(stepSubmission(state, { kind: "unavailable", number: 1 })), [100]);
  });

  it("stops at a rejection of the chain's next batch, and says why", () => {
    const { state } = startWith(3);
    const refused = stepSubmission(state, { kind: "rejected", number: 0, reason: "CHAIN_FORK" });
    assert.deepEqual(refused, [{ kind: "refused", number: 0, reason: "CHAIN_FORK" }]);
    assert.deepEqual(submits(stepSubmission(state, { kind: "sealed", count: 4 })), []);
    assert.deepEqual(submits(stepSubmission(state, { kind: "unavailable", number: 1 })), []);
  });

  it("takes a rejection behind a batch that did not arrive for what it is, and submits again", () => {
    const { state } = startWith(2);
    assert.deepEqual(
      stepSubmission(state, { kind: "rejected", number: 1, reason: "CHAIN_GAP" }),
      [],
    );
    assert.deepEqual(submits(stepSubmission(state, included(0))), [1]);
    const refused = stepSubmission(state, { kind: "rejected", number: 1, reason: "BATCH_INVALID" });
    assert.deepEqual(refused, [{ kind: "refused", number: 1, reason: "BATCH_INVALID" }]);
  });

  it("takes a gap behind what was included for a term that goes on without it, and submits that again", () => {
    const { state } = startWith(2, 1);
    stepSubmission(state, included(1));
    assert.deepEqual(submits(stepSubmission(state, { kind: "sealed", count: 3 })), [2]);
    const effects = stepSubmission(state, { kind: "rejected", number: 2, reason: "CHAIN_GAP" });
    assert.deepEqual(timers(effects), [100]);
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), [1]);
    assert.deepEqual(submits(stepSubmission(state, included(1))), [2]);
  });

  it("stops at a gap behind what is final", () => {
    const { state } = startWith(2, 1);
    const refused = stepSubmission(state, { kind: "rejected", number: 1, reason: "CHAIN_GAP" });
    assert.deepEqual(refused, [{ kind: "refused", number: 1, reason: "CHAIN_GAP" }]);
  });

  it("tries again while a blob is missing", () => {
    const { state } = startWith(1);
    const effects = stepSubmission(state, { kind: "rejected", number: 0, reason: "BLOB_MISSING" });
    assert.deepEqual(timers(effects), [100]);
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), [0]);
  });

  it("submits the oldest included batch again when nothing became final for long", () => {
    const { state } = startWith(2);
    const asked = [included(0), included(1)].flatMap((event) =>
      timers(stepSubmission(state, event)),
    );
    assert.deepEqual(asked, [30_000]);
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), [0]);
    stepSubmission(state, included(0));
    stepSubmission(state, final(0));
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), []);
    assert.deepEqual(submits(stepSubmission(state, { kind: "timer" })), [1]);
  });

  it("submits everything that is not final again at a change of term, and ignores old answers", () => {
    const { state } = startWith(4);
    for (const number of [0, 1, 2]) stepSubmission(state, included(number));
    stepSubmission(state, final(0));
    const effects = stepSubmission(state, { kind: "term-changed" });
    assert.deepEqual(submits(effects), [1, 2]);
    const taken = effects.flatMap((effect) => (effect.kind === "mark" ? [effect.mark] : []));
    assert.deepEqual(taken.slice(0, 2), [
      { number: 1, stage: "submitted" },
      { number: 2, stage: "submitted" },
    ]);
    assert.deepEqual(submits(stepSubmission(state, included(3))), [3]);
    assert.equal(state.includedCount, 1);
  });

  it("has nothing to do after a stop", () => {
    const { state } = startWith(1);
    stepSubmission(state, { kind: "stop" });
    assert.deepEqual(stepSubmission(state, { kind: "unavailable", number: 0 }), []);
  });
});

/** A ledger that takes the batches of one chain in their order, and a network that loses its answers. */
class World {
  sealed = 0;
  /** Batches that the ledger has, and those of them that are final. */
  length = 0;
  finalLength = 0;
  /** A batch that the ledger refuses for its structure. */
  readonly refusedNumber: number;
  refusal: number | undefined;
  calls: number[] = [];
  timer = false;
  state: SubmissionState;

  constructor(refusedNumber: number) {
    this.refusedNumber = refusedNumber;
    this.state = createSubmissionState({ sealedCount: 0, finalCount: 0 });
  }

  send(event: SubmissionEvent): void {
    for (const effect of stepSubmission(this.state, event)) {
      if (effect.kind === "submit") this.#onSubmit(effect.number);
      if (effect.kind === "timer") this.timer = true;
      if (effect.kind === "refused") this.refusal = effect.number;
    }
    assert.ok(this.state.finalCount <= this.state.includedCount);
    assert.ok(this.state.includedCount <= this.state.sealedCount);
  }

  #onSubmit(number: number): void {
    assert.ok(number < this.sealed, "a batch was submitted before its seal");
    assert.ok(!this.calls.includes(number), "a batch was submitted twice at one time");
    this.calls.push(number);
    assert.ok(this.calls.length <= submissionsInFlightMax + 1);
  }

  answer(pick: number, outcome: "arrives" | "lost" | "answer-lost"): void {
    const [number] = this.calls.splice(pick % Math.max(1, this.calls.length), 1);
    if (number === undefined) return;
    if (outcome === "lost") return this.send({ kind: "unavailable", number });
    const reason = this.#take(number);
    if (outcome === "answer-lost") return this.send({ kind: "unavailable", number });
    if (reason !== undefined) return this.send({ kind: "rejected", number, reason });
    this.send({ kind: "included", number, index: BigInt(number), term: 0n });
  }

  #take(number: number): "CHAIN_GAP" | "BATCH_INVALID" | undefined {
    if (number > this.length) return "CHAIN_GAP";
    if (number === this.refusedNumber) return "BATCH_INVALID";
    if (number === this.length) this.length += 1;
    return undefined;
  }

  finalise(count: number): void {
    for (let i = 0; i < count && this.finalLength < this.length; i++) {
      const number = this.finalLength++;
      const index = BigInt(number);
      this.send({ kind: "final", number, index, term: 0n, size: index + 1n });
    }
  }

  seal(count: number): void {
    this.sealed += count;
    this.send({ kind: "sealed", count: this.sealed });
  }

  fire(): void {
    if (!this.timer) return;
    this.timer = false;
    this.send({ kind: "timer" });
  }

  /** The process dies: what it had noted lately is forgotten, and final batches are found again. */
  crash(forgotten: number): void {
    const finalCount = Math.max(0, this.state.finalCount - forgotten);
    this.calls = [];
    this.timer = false;
    this.state = createSubmissionState({ sealedCount: this.sealed, finalCount });
    const reached = this.finalLength;
    this.finalLength = finalCount;
    this.finalise(reached - finalCount);
    this.send({ kind: "sealed", count: this.sealed });
  }

  /** The ledger goes on from what is final and `kept` more, and that may not be known here yet. */
  changeTerm(kept: number, isKnown: boolean): void {
    this.length = Math.min(this.length, this.finalLength + kept);
    if (isKnown) this.send({ kind: "term-changed" });
  }
}

type Act = (world: World) => void;

const acts: fc.Arbitrary<Act> = fc.oneof(
  fc.nat(5).map(
    (count): Act =>
      (world) =>
        world.seal(count),
  ),
  fc.tuple(fc.nat(), fc.constantFrom("arrives", "arrives", "arrives", "lost", "answer-lost")).map(
    ([pick, outcome]): Act =>
      (world) =>
        world.answer(pick, outcome as "arrives"),
  ),
  fc.nat(4).map(
    (count): Act =>
      (world) =>
        world.finalise(count),
  ),
  fc.constant<Act>((world) => world.fire()),
  fc.nat(3).map(
    (forgotten): Act =>
      (world) =>
        world.crash(forgotten),
  ),
  fc.tuple(fc.nat(3), fc.boolean()).map(
    ([kept, isKnown]): Act =>
      (world) =>
        world.changeTerm(kept, isKnown),
  ),
);

/** From now on every answer arrives and everything becomes final. */
function settle(world: World): void {
  for (let round = 0; round < 1000; round++) {
    while (world.calls.length > 0) world.answer(0, "arrives");
    world.finalise(Number.POSITIVE_INFINITY);
    if (world.refusal !== undefined || world.finalLength === world.sealed) return;
    assert.ok(world.calls.length > 0 || world.timer, "nothing is under way and no timer is set");
    if (world.calls.length === 0) world.fire();
  }
  assert.fail("the chain does not arrive");
}

describe("submission under any order of events", () => {
  it("brings every batch to an honest ledger exactly once and is never refused", () => {
    fc.assert(
      fc.property(fc.array(acts, { maxLength: 120, size: "max" }), (sequence) => {
        const world = new World(-1);
        for (const act of sequence) act(world);
        settle(world);
        assert.equal(world.refusal, undefined);
        assert.equal(world.length, world.sealed);
        assert.equal(world.state.finalCount, world.sealed);
      }),
      { numRuns: 500 },
    );
  });

  it("names exactly the batch that the ledger refuses, and brings all those before it", () => {
    fc.assert(
      fc.property(
        fc.array(acts, { maxLength: 80, size: "max" }),
        fc.nat(6),
        (sequence, refused) => {
          const world = new World(refused);
          world.seal(refused + 2);
          for (const act of sequence) if (world.refusal === undefined) act(world);
          settle(world);
          assert.equal(world.refusal, refused);
          assert.equal(world.length, refused);
        },
      ),
      { numRuns: 300 },
    );
  });
});
