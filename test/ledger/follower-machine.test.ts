import assert from "node:assert/strict";
import test from "node:test";
import { followInboxMax } from "../../src/base/limits.ts";
import {
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
  initialFollower,
  stepFollower,
} from "../../src/ledger/embedded/follower-machine.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";

const bytes = Uint8Array.of(1);

function run(
  state: FollowerState,
  ...events: readonly FollowerEvent[]
): { state: FollowerState; effects: readonly FollowerEffect[] } {
  let current = state;
  const effects: FollowerEffect[] = [];
  for (const event of events) {
    const step = stepFollower(current, event);
    current = step.state;
    effects.push(...step.effects);
  }
  return { state: current, effects };
}

const batch = (index: bigint): FollowItem => ({
  kind: "batch",
  index,
  batch: { leaf: bytes, records: [] },
});
const item = (stream: number, value: FollowItem): FollowerEvent => ({
  kind: "item",
  stream,
  item: value,
});
/** Verified and stored. */
const done = (size: bigint, finalSize: bigint): FollowerEvent => ({
  kind: "done",
  size,
  storedSize: size,
  finalSize,
  isPending: false,
});
const head: FollowItem = { kind: "head", note: bytes, registryDigest: bytes };
const opened = (): FollowerState =>
  run(initialFollower({ size: 5n, finalSize: 4n }), { kind: "start" }).state;

test("a follower connects from its own size and final size", () => {
  const { effects } = run(initialFollower({ size: 5n, finalSize: 4n }), { kind: "start" });
  assert.deepEqual(effects, [{ kind: "connect", stream: 1, fromIndex: 5n, fromFinalSize: 4n }]);
});

test("batches that come while one is applied are applied together next", () => {
  const { effects } = run(
    opened(),
    item(1, batch(5n)),
    item(1, batch(6n)),
    item(1, batch(7n)),
    done(6n, 4n),
  );
  assert.deepEqual(
    effects.map((effect) => (effect.kind === "apply" ? effect.batches.length : effect.kind)),
    [1, 2],
  );
});

test("batches that come together are applied together", () => {
  const more = (value: FollowItem): FollowerEvent => {
    return { kind: "item", stream: 1, item: value, hasMore: true };
  };
  const before = run(opened(), more(batch(5n)), more(batch(6n)));
  assert.deepEqual(before.effects, []);
  const { effects } = run(before.state, item(1, batch(7n)));
  assert.deepEqual(
    effects.map((effect) => (effect.kind === "apply" ? effect.batches.length : effect.kind)),
    [3],
  );
});

test("a head is looked at only after the batches before it", () => {
  const { effects } = run(opened(), item(1, batch(5n)), item(1, head), done(6n, 4n));
  assert.deepEqual(
    effects.map(({ kind }) => kind),
    ["apply", "head"],
  );
});

for (const index of [4n, 6n, 0n]) {
  test(`a batch with index ${index} where 5 is due ends the stream`, () => {
    const { effects, state } = run(opened(), item(1, batch(index)));
    assert.deepEqual(
      effects.map(({ kind }) => kind),
      ["disconnect", "wait"],
    );
    assert.equal(state.phase, "waiting");
  });
}

test("a lost stream is taken up again from what was applied meanwhile", () => {
  const { effects } = run(
    opened(),
    item(1, batch(5n)),
    item(1, batch(6n)),
    { kind: "ended", stream: 1 },
    done(6n, 4n),
    { kind: "retry" },
  );
  assert.deepEqual(effects.at(-1), {
    kind: "connect",
    stream: 2,
    fromIndex: 6n,
    fromFinalSize: 4n,
  });
});

test("no new stream is opened while the last one's batches are applied", () => {
  const { effects } = run(
    opened(),
    item(1, batch(5n)),
    { kind: "ended", stream: 1 },
    { kind: "retry" },
  );
  assert.deepEqual(
    effects.map(({ kind }) => kind),
    ["apply", "wait"],
  );
});

test("the delay grows with each stream that brings nothing, up to ten seconds, and falls with success", () => {
  let { state } = run(initialFollower({ size: 0n, finalSize: 0n }), { kind: "start" });
  const delays: number[] = [];
  for (let i = 0; i < 8; i++) {
    const step = run(state, { kind: "ended", stream: state.stream }, { kind: "retry" });
    state = step.state;
    for (const effect of step.effects) if (effect.kind === "wait") delays.push(effect.delayMs);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  const after = run(state, item(state.stream, batch(0n)), done(1n, 0n), {
    kind: "ended",
    stream: state.stream,
  });
  assert.deepEqual(after.effects.at(-1), { kind: "wait", delayMs: 250 });
});

test("items of an earlier stream mean nothing", () => {
  const { state } = run(opened(), { kind: "ended", stream: 1 }, { kind: "retry" });
  assert.deepEqual(run(state, item(1, batch(5n))).effects, []);
  assert.deepEqual(run(state, { kind: "ended", stream: 1 }).effects, []);
});

test("a full inbox pauses the stream and half of it resumes", () => {
  let { state } = run(opened(), item(1, batch(5n)));
  const seen: string[] = [];
  for (let i = 0; i < followInboxMax; i++) {
    const step = run(state, item(1, batch(6n + BigInt(i))));
    state = step.state;
    seen.push(...step.effects.map(({ kind }) => kind));
  }
  assert.deepEqual(seen, ["pause"]);
  const drained = run(state, done(6n, 4n));
  assert.deepEqual(
    drained.effects.map(({ kind }) => kind),
    ["apply", "resume"],
  );
});

test("what could not be judged now ends the stream and is asked for again", () => {
  const { effects, state } = run(
    opened(),
    item(1, batch(5n)),
    { kind: "failed", storedSize: 5n },
    { kind: "retry" },
  );
  assert.deepEqual(
    effects.map(({ kind }) => kind),
    ["apply", "disconnect", "wait", "connect"],
  );
  assert.equal(state.size, 5n);
});

const termOpened: FollowItem = { kind: "term opened", term: 1n, start: 4n };
const pending = (size: bigint): FollowerEvent => ({
  kind: "done",
  size,
  storedSize: 5n,
  finalSize: 4n,
  isPending: true,
});

test("a distrusted log is followed from what is final, in memory until a later term opens", () => {
  const { effects, state } = run(
    opened(),
    item(1, head),
    { kind: "distrusted" },
    { kind: "failed", storedSize: 5n },
    { kind: "retry" },
    item(2, batch(5n)),
    { kind: "retry" },
    item(3, termOpened),
    pending(4n),
    item(3, batch(4n)),
  );
  const connects = effects.filter((effect) => effect.kind === "connect");
  assert.deepEqual(
    connects.map(({ fromIndex }) => fromIndex),
    [4n, 4n],
  );
  assert.deepEqual(
    effects.map(({ kind }) => kind).filter((kind) => kind !== "wait"),
    ["head", "disconnect", "connect", "disconnect", "connect", "term opened", "apply"],
  );
  assert.equal(state.isWary, true);
  const { state: trusting, effects: after } = run(state, { kind: "trusted" }, done(6n, 4n));
  assert.equal(trusting.isWary, false);
  assert.deepEqual(after, []);
  assert.deepEqual(
    run(trusting, item(3, head)).effects.map(({ kind }) => kind),
    ["head"],
  );
});

test("while a log is distrusted each source is asked once, from what is final", () => {
  let { state } = run(opened(), { kind: "distrusted" }, { kind: "retry" });
  for (const stream of [2, 3, 4]) {
    assert.deepEqual([state.stream, state.size, state.isDoubtful], [stream, 4n, false]);
    ({ state } = run(state, { kind: "ended", stream }, { kind: "retry" }));
  }
});

test("a log of two final histories is never connected again", () => {
  const { effects, state } = run(
    opened(),
    item(1, head),
    { kind: "stop" },
    { kind: "retry" },
    { kind: "start" },
    item(1, batch(5n)),
  );
  assert.deepEqual(
    effects.map(({ kind }) => kind),
    ["head", "disconnect"],
  );
  assert.equal(state.phase, "stopped");
});

test("the batches of a term come from its start, and after one that did not open from what is final", () => {
  const { effects, state } = run(
    opened(),
    item(1, termOpened),
    pending(4n),
    item(1, batch(4n)),
    pending(5n),
    { kind: "ended", stream: 1 },
    { kind: "retry" },
  );
  assert.deepEqual(effects.at(2), { kind: "wait", delayMs: 250 });
  assert.deepEqual(effects.at(-1), {
    kind: "connect",
    stream: 2,
    fromIndex: 4n,
    fromFinalSize: 4n,
  });
  assert.equal(state.isPending, true);
  const again = run(state, { kind: "ended", stream: 2 }, { kind: "retry" });
  const last = again.effects.at(-1);
  assert.equal(
    last?.kind === "connect" && last.fromIndex,
    5n,
    "the leaves at hand are tried again",
  );
});

test("a term that is begun and never opened does not shorten the delay", () => {
  let { state } = run(initialFollower({ size: 5n, finalSize: 4n }), { kind: "start" });
  const delays: number[] = [];
  for (let i = 0; i < 4; i++) {
    const step = run(
      state,
      item(state.stream, termOpened),
      pending(4n),
      { kind: "ended", stream: state.stream },
      { kind: "retry" },
    );
    state = step.state;
    for (const effect of step.effects) if (effect.kind === "wait") delays.push(effect.delayMs);
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000]);
});

test("a stream that brings nothing new is given up for another", () => {
  const { effects, state } = run(opened(), { kind: "stale", stream: 1 });
  assert.deepEqual(effects, [{ kind: "disconnect" }, { kind: "wait", delayMs: 250 }]);
  assert.deepEqual(run(state, { kind: "stale", stream: 1 }).effects, []);
});
