import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { witnessWaitingMax } from "../../src/base/limits.ts";
import { initialWitness, stepWitness } from "../../src/ledger/embedded/witness-machine.ts";
import { votedHead } from "../../src/ledger/embedded/witness-terms.ts";
import type {
  OpenedCheckpoint,
  PromisedHead,
  StoredWitness,
  TermOpening,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
} from "../../src/ledger/embedded/witness-types.ts";
import type { WitnessedHead } from "../../src/ledger/store/store.ts";
import { treeRoot } from "../../src/merkle/batch-tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { proveConsistency } from "../../src/merkle/prove.ts";
import { storeTree } from "../merkle/support.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";

const leaves = Array.from({ length: 8 }, (_, i) => utf8(`leaf ${i}`));
const rootOf = (size: number): Uint8Array => treeRoot(leaves.slice(0, size).map(leafHash));
const reader = storeTree(leaves);

/** In these tests a note is `<term> <size>`; what notes look like is another module's matter. */
function readCheckpoint(note: Uint8Array): { kind: "signed"; checkpoint: OpenedCheckpoint } {
  const [term = 0, size = 0] = new TextDecoder().decode(note).split(" ").map(Number);
  const root = rootOf(size);
  const checkpoint = { term: BigInt(term), origin: `log/${term}`, size: BigInt(size), root, note };
  return { kind: "signed", checkpoint };
}

const boundMs = 60_000;

function startFrom(stored: Partial<StoredWitness>, key = "one key"): WitnessState {
  const config = { readCheckpoint, waitMs: 1000, inclusionBoundMs: boundMs, key };
  const fresh = { promises: new Map(), promisedTerm: 0n, lost: undefined };
  return initialWitness(config, { ...fresh, ...stored });
}

function start(promise?: WitnessedHead, term = 0n): WitnessState {
  const promises = promise === undefined ? [] : [[`log/${term}`, { term, ...promise }] as const];
  return startFrom({ promises: new Map<string, PromisedHead>(promises), promisedTerm: term });
}

const head = (size: number, term = 0): WitnessedHead => ({
  size: BigInt(size),
  root: rootOf(size),
  note: utf8(`${term} ${size}`),
});

function request(id: number, from: number, to: number, term = 0): WitnessEvent {
  const proof = from === 0 ? [] : proveConsistency({ size1: from, size2: to, reader });
  const checkpoint = utf8(`${term} ${to}`);
  const body = formatAddCheckpoint({ oldSize: BigInt(from), proof, checkpoint });
  return { kind: "request", id, body };
}

type Answered = Extract<WitnessEvent, { kind: "replica" }>;

function heard(id: number, verdict: Answered["verdict"], more: Partial<Answered> = {}): Answered {
  return { kind: "replica", id, verdict, finalSize: 0n, omits: false, ...more };
}

function stands(id: number, size: number, more: Partial<Answered> = {}): Answered {
  return heard(id, { kind: "stands", root: rootOf(size) }, more);
}

function promised(id: number, latest: WitnessedHead, promisedTerm = 0n): WitnessEvent {
  return { kind: "promised", id, latest, promisedTerm, isNew: true };
}

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
    { kind: "ask replica", id: 1, size: 3n, openingOf: undefined, overdue: [] },
    { kind: "wake", delayMs: 1000 },
  ]);
});

test("the promise is stored before it is cosigned", () => {
  const asked = run(start(), request(1, 0, 3), stands(1, 3));
  assert.deepEqual(asked.effects, [
    {
      kind: "promise",
      id: 1,
      term: 0n,
      origin: "log/0",
      before: undefined,
      after: head(3),
    },
  ]);
  const stored = run(asked.state, promised(1, head(3)));
  assert.deepEqual(statusOf(stored.effects), ["cosign"]);
});

test("a promise that was not stored because another stands is 409 with that one's size", () => {
  const asked = run(start(head(2)), request(1, 2, 3), stands(1, 3));
  const { effects } = run(asked.state, {
    kind: "promised",
    id: 1,
    latest: head(5),
    promisedTerm: 0n,
    isNew: false,
  });
  assert.deepEqual(statusOf(effects), [409]);
  assert.deepEqual(effects[0]?.kind === "answer" && effects[0].answer.body, "5\n");
});

test("of two requests from one size the second is 409 once the first is promised", () => {
  const { state } = run(
    start(),
    request(1, 0, 3),
    request(2, 0, 4),
    stands(1, 3),
    promised(1, head(3)),
  );
  const { effects } = run(state, stands(2, 4));
  assert.deepEqual(statusOf(effects), [409]);
});

test("a request waits while the replica is behind, and is asked for again after a change", () => {
  const { state, effects } = run(start(), request(1, 0, 3), heard(1, { kind: "behind" }));
  assert.deepEqual(effects, []);
  assert.deepEqual(run(state, { kind: "changed" }).effects, [
    { kind: "ask replica", id: 1, size: 3n, openingOf: undefined, overdue: [] },
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
  const verdict = heard(1, { kind: "distrusted" });
  assert.deepEqual(statusOf(run(start(), request(1, 0, 3), verdict).effects), [503]);
});

test("a replica with another tree is 422 and evidence of a fork", () => {
  const { effects } = run(start(), request(1, 0, 3), stands(1, 4));
  assert.deepEqual(statusOf(effects), [422, "fork"]);
  assert.deepEqual(effects[1], { kind: "fork", held: undefined, shown: utf8("0 3") });
});

test("the same size again is cosigned by the promise that stands, without a write", () => {
  const { state, effects } = run(start(head(3)), request(1, 3, 3), stands(1, 3));
  assert.deepEqual(statusOf(effects), ["cosign"]);
  assert.equal(state.waiting.size, 0);
  const ended = run({ ...start(head(3)), promisedTerm: 1n }, request(1, 3, 3));
  assert.deepEqual(statusOf(ended.effects), [403], "not once a later term is promised");
});

test("for every pair of sizes the right proof passes and the proof of another pair does not", () => {
  for (let from = 1; from <= 8; from++) {
    for (let to = from; to <= 8; to++) {
      const right = run(start(head(from)), request(1, from, to));
      assert.deepEqual(statusOf(right.effects), ["ask replica", "wake"], `${from} to ${to}`);
      if (from === to) continue;
      const proof = proveConsistency({ size1: from, size2: to, reader });
      const swapped = proof.map((hash) => hash.map((byte) => byte ^ 255));
      const checkpoint = utf8(`0 ${to}`);
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

test("a checkpoint smaller than a final one is 422", () => {
  const { effects } = run(start(), request(1, 0, 3), stands(1, 3, { finalSize: 4n }));
  assert.deepEqual(statusOf(effects), [422]);
});

/** Term 2 goes on from size 4, which two of three voters cosigned last in term 1. */
function openingOf(change: Partial<TermOpening> = {}): TermOpening {
  const vote = (city: string, size: number) => ({
    city,
    term: 1n,
    size: BigInt(size),
    root: rootOf(size),
  });
  return {
    term: 2n,
    start: 4n,
    since: 4n,
    question: {
      votes: [vote("a", 4), vote("b", 4), vote("c", 2)],
      rules: [{ cities: ["a", "b", "c", "d"], quorum: 3, faults: 1 }],
      sequencerCity: "d",
    },
    tree: { rootAt: (size) => rootOf(Number(size)) },
    ...change,
  };
}

test("the first cosignature in a term asks for its opening, and promises the term with it", () => {
  const asked = run(start(head(3, 1), 1n), request(1, 0, 6, 2));
  assert.deepEqual(asked.effects[0], {
    kind: "ask replica",
    id: 1,
    size: 6n,
    openingOf: 2n,
    overdue: [],
  });
  const { state, effects } = run(asked.state, stands(1, 6, { opening: openingOf() }));
  assert.deepEqual(effects, [
    { kind: "promise", id: 1, term: 2n, origin: "log/2", before: undefined, after: head(6, 2) },
  ]);
  const cosigned = run(state, promised(1, head(6, 2), 2n));
  assert.deepEqual(statusOf(cosigned.effects), ["cosign"]);
  assert.deepEqual(statusOf(run(cosigned.state, request(2, 3, 5, 1)).effects), [403]);
  const again = run(cosigned.state, request(3, 6, 7, 2));
  assert.equal(again.effects[0]?.kind === "ask replica" && again.effects[0].openingOf, undefined);
});

const wrongOpenings: Readonly<Record<string, TermOpening | undefined>> = {
  "no opening": undefined,
  "the opening of another term": openingOf({ term: 3n }),
  "a start below the highest checkpoint": openingOf({ start: 3n, since: 3n }),
  "a start above the highest checkpoint": openingOf({ start: 5n, since: 5n }),
  "too few votes": openingOf({
    question: { ...openingOf().question, votes: openingOf().question.votes.slice(1) },
  }),
  "another tree": openingOf({ tree: { rootAt: (size) => rootOf(Number(size) + 1) } }),
};
for (const [what, opening] of Object.entries(wrongOpenings)) {
  test(`${what}: nothing of the term is cosigned`, () => {
    const { effects } = run(start(head(3, 1), 1n), request(1, 0, 6, 2), stands(1, 6, { opening }));
    assert.deepEqual(statusOf(effects), [503]);
  });
}

const askTerm = (term: bigint, currentTerm = 1n): WitnessEvent => ({
  kind: "promise term",
  id: 9,
  term,
  currentTerm,
});
const refusedTerm = (reason: "TERM_ENDED" | "WITNESS_STATE_LOST"): WitnessEffect => ({
  kind: "term promised",
  id: 9,
  result: { kind: "refused", reason },
});

test("a promised term is stored first, tells the highest checkpoint, and ends what is below", () => {
  const asked = run(start(head(3, 1), 1n), request(1, 3, 4, 1), askTerm(2n));
  assert.deepEqual(asked.effects, [{ kind: "store term", id: 9, term: 2n }]);
  const { state, effects } = run(asked.state, {
    kind: "term stored",
    id: 9,
    promisedTerm: 2n,
    isNew: true,
  });
  assert.deepEqual(effects, [
    {
      kind: "term promised",
      id: 9,
      result: { kind: "promised", term: 2n, highest: { term: 1n, ...head(3, 1) } },
    },
  ]);
  assert.deepEqual(statusOf(run(state, request(2, 3, 3, 1)).effects), [403], "a heartbeat too");
  assert.deepEqual(statusOf(run(state, stands(1, 4)).effects), [403], "and what waited");
});

test("what is on the disk only after a later term was promised is not cosigned, and takes nothing of that back", () => {
  const asked = run(start(head(3, 1), 1n), request(1, 3, 4, 1), stands(1, 4), {
    kind: "term stored",
    id: 9,
    promisedTerm: 2n,
    choice: "a",
    isNew: true,
  });
  const { state, effects } = run(asked.state, promised(1, head(4, 1), 1n));
  assert.deepEqual(statusOf(effects), [403]);
  assert.deepEqual([state.promisedTerm, state.promisedChoice], [2n, "a"]);
  assert.deepEqual(state.promises.get("log/1")?.size, 4n);
});

test("of what is promised the checkpoint of the higher term is the highest, whatever its size", () => {
  const promises = new Map([
    ["log/1", { term: 1n, ...head(7, 1) }],
    ["log/2", { term: 2n, ...head(5, 2) }],
  ]);
  const { effects } = run(startFrom({ promises, promisedTerm: 2n }), {
    kind: "term stored",
    id: 9,
    promisedTerm: 3n,
    isNew: true,
  });
  const [effect] = effects;
  assert.ok(effect?.kind === "term promised" && effect.result.kind === "promised");
  assert.deepEqual(effect.result.highest, { term: 2n, ...head(5, 2) });
});

/** The promises of a witness that has cosigned 3 leaves in term 0 and 5 in term 1. */
const promisesBefore = new Map([
  ["log/0", { term: 0n, ...head(3) }],
  ["log/1", { term: 1n, ...head(5, 1) }],
]);
const newestFinal = { term: 2n, ...head(4, 2) };

/** Which checkpoint the vote names where the replica knows these terms. */
function votedWith(
  promises: StoredWitness["promises"],
  terms: readonly bigint[] | undefined,
): PromisedHead | undefined {
  const settled = terms && { terms, final: newestFinal };
  return votedHead({ promises, promisedTerm: 2n, lost: undefined }, settled);
}

test("a vote passes over a term that a later one leaves out, once that is settled", () => {
  assert.deepEqual(votedWith(promisesBefore, undefined)?.term, 1n, "as long as none is");
  assert.deepEqual(votedWith(promisesBefore, [0n, 2n])?.term, 0n, "it is left out");
  assert.deepEqual(votedWith(promisesBefore, [0n, 1n, 2n])?.term, 1n, "it is not");
  assert.deepEqual(votedWith(promisesBefore, [0n])?.term, 1n, "no later one is known");
});

test("a vote that passes over everything names the newest final checkpoint; one of a city that cosigned nothing does not", () => {
  const promises = new Map([["log/1", { term: 1n, ...head(5, 1) }]]);
  assert.deepEqual(votedWith(promises, [0n, 2n]), newestFinal);
  assert.equal(votedWith(new Map(), [0n, 2n]), undefined);
});

test("asked again the vote passes over what the replica has left since", () => {
  const settled = { terms: [0n, 2n], final: newestFinal };
  const ask: WitnessEvent = { kind: "promise term", id: 9, term: 3n, choice: "a", currentTerm: 2n };
  const stored = {
    kind: "term stored",
    id: 9,
    promisedTerm: 3n,
    choice: "a",
    isNew: true,
  } as const;
  const first = run(startFrom({ promises: promisesBefore, promisedTerm: 2n }), ask, stored);
  const named = (effects: readonly WitnessEffect[]): PromisedHead | undefined => {
    const [effect] = effects;
    assert.ok(effect?.kind === "term promised" && effect.result.kind === "promised");
    return effect.result.highest;
  };
  assert.deepEqual(named(first.effects)?.term, 1n);
  assert.deepEqual(named(run(first.state, { ...ask, settled }).effects)?.term, 0n);
  const stale = startFrom({ promises: promisesBefore, promisedTerm: 2n });
  assert.deepEqual(named(run(stale, ask, { ...stored, settled }).effects)?.term, 0n);
});

test("a term at or below the promised one, or the current one, is refused", () => {
  const state = startFrom({ promisedTerm: 5n });
  for (const term of [0n, 4n, 5n]) {
    assert.deepEqual(run(state, askTerm(term)).effects, [refusedTerm("TERM_ENDED")]);
  }
  assert.deepEqual(run(state, askTerm(6n, 6n)).effects, [refusedTerm("TERM_ENDED")]);
  assert.deepEqual(run(state, askTerm(7n, 6n)).effects[0]?.kind, "store term");
});

test("the same appointment is promised again, another one of that term never", () => {
  const ask = (choice: string): WitnessEvent => ({
    kind: "promise term",
    id: 9,
    term: 3n,
    choice,
    currentTerm: 1n,
  });
  const promises = new Map([["1", { term: 1n, ...head(4, 1) }]]);
  const stored: WitnessEvent = {
    kind: "term stored",
    id: 9,
    promisedTerm: 3n,
    choice: "one",
    isNew: true,
  };
  const first = run(startFrom({ promises, promisedTerm: 1n }), ask("one"), stored);
  const again = run(first.state, ask("one"));
  assert.deepEqual(again.effects, first.effects.slice(-1));
  assert.deepEqual(run(first.state, ask("two")).effects, [refusedTerm("TERM_ENDED")]);
});

test("a term that another request promised meanwhile is refused", () => {
  const stored: WitnessEvent = { kind: "term stored", id: 9, promisedTerm: 4n, isNew: false };
  const { state, effects } = run(start(), askTerm(3n), stored);
  assert.deepEqual(effects, [refusedTerm("TERM_ENDED")]);
  assert.equal(state.promisedTerm, 4n);
});

test("a promise that was not stored because a later term is promised is 403", () => {
  const { effects } = run(start(head(3, 1), 1n), request(1, 3, 4, 1), stands(1, 4), {
    kind: "promised",
    id: 1,
    latest: head(3, 1),
    promisedTerm: 2n,
    isNew: false,
  });
  assert.deepEqual(statusOf(effects), [403]);
});

test("what waited for the tree of an ended term is 403, and no evidence", () => {
  const { state } = run(start(), request(1, 0, 5), request(2, 0, 6, 2));
  const began = run(state, { kind: "term began", term: 2n, size: 4n });
  const answers = began.effects.filter(({ kind }) => kind !== "wake");
  assert.deepEqual(statusOf(answers), [403]);
  assert.deepEqual([...began.state.waiting.keys()], [2]);
});

const own = (size: bigint, term = 1n): Extract<WitnessEvent, { kind: "own cosignature" }> => ({
  kind: "own cosignature",
  term,
  origin: `log/${term}`,
  size,
});

test("a cosignature that is promised tells nothing new", () => {
  assert.deepEqual(run(start(head(3, 1), 1n), own(3n)).effects, []);
});

test("an own cosignature above the promise: the state was lost, which is stored and silences the witness", () => {
  const { state, effects } = run(start(head(3, 1), 1n), own(4n));
  assert.deepEqual(effects, [
    { kind: "store lost", lost: { key: "one key", term: 1n } },
    { kind: "report", reason: "WITNESS_STATE_LOST", size: 4n },
  ]);
  assert.deepEqual(statusOf(run(state, request(1, 3, 5, 1)).effects), [503]);
  assert.deepEqual(statusOf(run(state, request(1, 0, 5, 2)).effects), [503], "and under the key");
  assert.deepEqual(run(state, askTerm(2n)).effects, [refusedTerm("WITNESS_STATE_LOST")]);
  assert.deepEqual(
    statusOf(run(state, { kind: "show", id: 2, origin: "log/1" }).effects),
    [503],
    "it is not taken for one that cosigned less",
  );
});

test("with a new key a witness that lost its state cosigns from the next term on, and votes after that", () => {
  const lost = { key: "one key", term: 1n };
  const state = startFrom({ lost, promisedTerm: 1n }, "a new key");
  assert.deepEqual(statusOf(run(state, request(1, 0, 5, 1)).effects), [503]);
  assert.deepEqual(run(state, askTerm(2n)).effects, [refusedTerm("WITNESS_STATE_LOST")]);
  const next = run(state, request(1, 0, 5, 2), stands(1, 5, { opening: openingOf() }));
  assert.deepEqual(statusOf(next.effects), ["promise"]);
  const cosigned = run(next.state, promised(1, head(5, 2), 2n));
  assert.deepEqual(run(cosigned.state, askTerm(3n, 2n)).effects[0]?.kind, "store term");
});

test("of two cities the one with a new key goes on at once, and votes once it has", () => {
  const lost = { key: "one key", term: 1n };
  const { config, ...rest } = startFrom({ lost, promisedTerm: 1n }, "a new key");
  const state = { ...rest, config: { ...config, isPair: () => true } };
  assert.deepEqual(run(state, askTerm(2n)).effects, [refusedTerm("WITNESS_STATE_LOST")]);
  const show: WitnessEvent = { kind: "show", id: 2, origin: "log/1" };
  assert.deepEqual(statusOf(run(state, show).effects), [404], "so that a sequencer serves");
  const next = run(state, request(1, 0, 5, 1), stands(1, 5, { opening: openingOf({ term: 1n }) }));
  assert.deepEqual(statusOf(next.effects), ["promise"]);
  const cosigned = run(next.state, promised(1, head(5, 1), 1n));
  assert.deepEqual(run(cosigned.state, askTerm(2n)).effects[0]?.kind, "store term");
  const old = { ...state, config: { ...state.config, key: "one key" } };
  assert.deepEqual(statusOf(run(old, request(1, 0, 5, 1)).effects), [503], "not with the old key");
});

test("a cosignature of the city's earlier key that is not known shows a lost state, and does not silence the new key for good", () => {
  const heard = run(startFrom({ promisedTerm: 0n }, "a new key"), { ...own(4n), key: "one key" });
  assert.deepEqual(heard.state.lost, { key: "one key", term: 1n });
  assert.deepEqual(statusOf(run(heard.state, request(1, 0, 5, 1)).effects), [503]);
  assert.deepEqual(run(heard.state, askTerm(2n)).effects, [refusedTerm("WITNESS_STATE_LOST")]);
  const next = run(heard.state, request(1, 0, 5, 2), stands(1, 5, { opening: openingOf() }));
  assert.deepEqual(statusOf(next.effects), ["promise"]);
  const lost = { key: "a new key", term: 1n };
  const twice = run({ ...heard.state, lost }, { ...own(4n), key: "one key" });
  assert.deepEqual(twice.state.lost, lost, "an older loss takes nothing back");
});

test("a new key beside a store that knows of nothing is a lost state; beside one that knows it is none", () => {
  const replaced = { kind: "key replaced", key: "one key", term: 1n } as const;
  const empty = run(startFrom({}, "a new key"), replaced);
  assert.deepEqual(empty.state.lost, { key: "one key", term: 1n });
  assert.deepEqual(statusOf(empty.effects), ["store lost", "report"]);
  const promises = new Map([["log/1", { term: 1n, ...head(3, 1) }]]);
  const kept = run(startFrom({ promises, promisedTerm: 1n }, "a new key"), replaced);
  assert.deepEqual([kept.state.lost, kept.effects], [undefined, []]);
});

test("the newest promise of an origin is shown, and 404 where there is none", () => {
  const state = start(head(3, 1), 1n);
  assert.deepEqual(run(state, { kind: "show", id: 4, origin: "log/1" }).effects, [
    { kind: "show", id: 4, checkpoint: { term: 1n, ...head(3, 1) } },
  ]);
  assert.deepEqual(statusOf(run(state, { kind: "show", id: 4, origin: "log/2" }).effects), [404]);
});
