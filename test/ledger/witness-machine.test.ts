import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { witnessWaitingMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  initialWitness,
  type OpenedCheckpoint,
  stepWitness,
  type WitnessEffect,
  type WitnessEvent,
  type WitnessState,
} from "../../src/ledger/embedded/witness-machine.ts";
import type { WitnessedHead } from "../../src/ledger/store/store.ts";
import { treeRoot } from "../../src/merkle/batch-tree.ts";
import { emptyRange, appendLeaf } from "../../src/merkle/compact-range.ts";
import { proveConsistency } from "../../src/merkle/prove.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";

const leaves = Array.from({ length: 8 }, (_, i) => sha256(utf8(`leaf ${i}`)));
const rootOf = (size: number): Uint8Array => treeRoot(leaves.slice(0, size));

const hashes = new Map<string, Uint8Array>();
leaves.reduce((range, leaf) => {
  const appended = appendLeaf(range, leaf);
  for (const { level, index, hash } of appended.nodes) hashes.set(`${level}/${index}`, hash);
  return appended.range;
}, emptyRange);
const reader = {
  readHash: (level: number, index: bigint) => hashes.get(`${level}/${index}`) as Uint8Array,
};

/** In these tests a note is its size; what notes look like is another module's matter. */
function readCheckpoint(note: Uint8Array): { kind: "signed"; checkpoint: OpenedCheckpoint } {
  const size = Number(new TextDecoder().decode(note));
  const checkpoint = { origin: "log", size: BigInt(size), root: rootOf(size), note };
  return { kind: "signed", checkpoint };
}

function start(promise?: WitnessedHead): WitnessState {
  const promises = new Map(promise === undefined ? [] : [["log", promise]]);
  return initialWitness({ readCheckpoint, waitMs: 1000 }, promises);
}

const head = (size: number): WitnessedHead => ({
  size: BigInt(size),
  root: rootOf(size),
  note: utf8(String(size)),
});

function request(id: number, from: number, to: number): WitnessEvent {
  const proof = from === 0 ? [] : proveConsistency({ size1: from, size2: to, reader });
  const body = formatAddCheckpoint({ oldSize: BigInt(from), proof, checkpoint: utf8(String(to)) });
  return { kind: "request", id, body };
}

const stands = (id: number, size: number): WitnessEvent => ({
  kind: "replica",
  id,
  verdict: { kind: "stands", root: rootOf(size) },
});

/** Steps through events at one instant each, and gives the effects of the last. */
function run(
  state: WitnessState,
  ...events: readonly (WitnessEvent | readonly [number, WitnessEvent])[]
): { state: WitnessState; effects: readonly WitnessEffect[] } {
  let current = state;
  let effects: readonly WitnessEffect[] = [];
  for (const entry of events) {
    const [ms, event] = "kind" in entry ? [0, entry] : entry;
    ({ state: current, effects } = stepWitness(current, event, ms));
  }
  return { state: current, effects };
}

const statusOf = (effects: readonly WitnessEffect[]): readonly (number | string)[] =>
  effects.map((effect) => (effect.kind === "answer" ? effect.answer.status : effect.kind));

test("the replica is asked before anything is promised", () => {
  assert.deepEqual(run(start(), request(1, 0, 3)).effects, [
    { kind: "ask replica", id: 1, size: 3n },
    { kind: "wake", delayMs: 1000 },
  ]);
});

test("the promise is stored before it is cosigned", () => {
  const asked = run(start(), request(1, 0, 3), stands(1, 3));
  assert.deepEqual(asked.effects, [
    { kind: "promise", id: 1, origin: "log", before: undefined, after: head(3) },
  ]);
  const promised = run(asked.state, { kind: "promised", id: 1, latest: head(3), isNew: true });
  assert.deepEqual(statusOf(promised.effects), ["cosign"]);
});

test("a promise that was not stored because another stands is 409 with that one's size", () => {
  const asked = run(start(head(2)), request(1, 2, 3), stands(1, 3));
  const { effects } = run(asked.state, { kind: "promised", id: 1, latest: head(5), isNew: false });
  assert.deepEqual(statusOf(effects), [409]);
  assert.deepEqual(effects[0]?.kind === "answer" && effects[0].answer.body, "5\n");
});

test("of two requests from one size the second is 409 once the first is promised", () => {
  const { state } = run(start(), request(1, 0, 3), request(2, 0, 4), stands(1, 3), {
    kind: "promised",
    id: 1,
    latest: head(3),
    isNew: true,
  });
  const { effects } = run(state, stands(2, 4));
  assert.deepEqual(statusOf(effects), [409]);
});

test("a request waits while the replica is behind, and is asked for again after a change", () => {
  const behind: WitnessEvent = { kind: "replica", id: 1, verdict: { kind: "behind" } };
  const { state, effects } = run(start(), request(1, 0, 3), behind);
  assert.deepEqual(effects, []);
  assert.deepEqual(run(state, { kind: "changed" }).effects, [
    { kind: "ask replica", id: 1, size: 3n },
  ]);
});

test("a request whose replica does not come is 503 after its time, and not before", () => {
  const { state } = run(start(), request(1, 0, 3));
  assert.deepEqual(statusOf(run(state, [999, { kind: "tick" }]).effects), ["wake"]);
  const expired = run(state, [1000, { kind: "tick" }]);
  assert.deepEqual(statusOf(expired.effects), [503]);
  assert.deepEqual(run(expired.state, stands(1, 3)).effects, [], "a late answer promises nothing");
});

test("a replica that trusts the log no more is 503", () => {
  const verdict: WitnessEvent = { kind: "replica", id: 1, verdict: { kind: "distrusted" } };
  assert.deepEqual(statusOf(run(start(), request(1, 0, 3), verdict).effects), [503]);
});

test("a replica with another tree is 422 and evidence of a fork", () => {
  const { effects } = run(start(), request(1, 0, 3), stands(1, 4));
  assert.deepEqual(statusOf(effects), [422, "fork"]);
  assert.deepEqual(effects[1], { kind: "fork", held: undefined, shown: utf8("3") });
});

test("the same size again needs no new tree, only a new promise of the same", () => {
  const { effects } = run(start(head(3)), request(1, 3, 3), stands(1, 3));
  assert.deepEqual(effects, [
    { kind: "promise", id: 1, origin: "log", before: head(3), after: head(3) },
  ]);
});

test("for every pair of sizes the right proof passes and the proof of another pair does not", () => {
  for (let from = 1; from <= 8; from++) {
    for (let to = from; to <= 8; to++) {
      const right = run(start(head(from)), request(1, from, to));
      assert.deepEqual(statusOf(right.effects), ["ask replica", "wake"], `${from} to ${to}`);
      if (from === to) continue;
      const proof = proveConsistency({ size1: from, size2: to, reader });
      const swapped = proof.map((hash) => hash.map((byte) => byte ^ 255));
      const checkpoint = utf8(String(to));
      const body = formatAddCheckpoint({ oldSize: BigInt(from), proof: swapped, checkpoint });
      const wrong = run(start(head(from)), { kind: "request", id: 1, body });
      const statuses = proof.length === 0 ? ["ask replica", "wake"] : [422];
      assert.deepEqual(statusOf(wrong.effects), statuses, `${from} to ${to}`);
    }
  }
});

test("requests above the limit are 503 at once", () => {
  let { state } = run(start());
  for (let id = 0; id < witnessWaitingMax; id++) ({ state } = run(state, request(id, 0, 3)));
  assert.deepEqual(statusOf(run(state, request(99, 0, 3)).effects), [503]);
});
