import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { utf8 } from "../../src/base/bytes.ts";
import {
  chooseStart,
  type ProvableTree,
  type StartEvidence,
  type StartQuestion,
  type StartVote,
  verifyStart,
} from "../../src/ledger/embedded/term-start.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/prove.ts";
import { rootAt } from "../../src/merkle/reader.ts";
import { storeTree } from "../merkle/support.ts";
import type { CosigningRule } from "../../src/registry/cosigning.ts";

/** A tree whose leaves are letters. */
function treeOf(letters: string): ProvableTree {
  const leaves = letters.split("").map(utf8);
  const reader = storeTree(leaves);
  return {
    rootAt: (size) => (size > BigInt(leaves.length) ? undefined : rootAt(size, reader)),
    leafHash: (index) => leafHash(leaves[Number(index)] as Uint8Array),
    inclusionProof: (index, size) => proveInclusion({ index, size, reader }),
    consistencyProof: (size1, size2) => proveConsistency({ size1, size2, reader }),
  };
}

interface City {
  readonly id: string;
  readonly term: number;
  readonly letters: string;
}

const voteOf = ({ id, term, letters }: City): StartVote => ({
  city: id,
  term: BigInt(term),
  size: BigInt(letters.length),
  root: treeOf(letters).rootAt(BigInt(letters.length)) as Uint8Array,
});

/** n cities of which one may lie, with the smallest quorum; the sequencer of the highest term is in "a". */
function ruleOf(count: number): CosigningRule {
  const cities = ["a", "b", "c", "d", "e", "f"].slice(0, count);
  return { cities, quorum: Math.ceil((count + 2) / 2), faults: 1 };
}

function questionOf(cities: readonly City[], rules: readonly CosigningRule[]): StartQuestion {
  return { votes: cities.map(voteOf), rules, sequencerCity: "a" };
}

const treesOf =
  (cities: readonly City[]): ((city: string) => ProvableTree) =>
  (city) =>
    treeOf((cities.find(({ id }) => id === city) as City).letters);

/** DESIGN.md section 7 over strings: what the start is, leaf by leaf. */
function slowStart(cities: readonly City[], rule: CosigningRule): string | undefined {
  const term = Math.max(...cities.map((city) => city.term));
  const newest = cities.filter((city) => city.term === term).map(({ letters }) => letters);
  const longest = newest.reduce((a, b) => (b.length > a.length ? b : a));
  if (newest.every((letters) => longest.startsWith(letters))) {
    return cities.length >= rule.quorum ? longest : undefined;
  }
  const others = cities.filter(({ id }) => id !== "a");
  if (others.length < rule.cities.length - 1) return undefined;
  let best = "";
  for (const { letters } of others) {
    for (let size = 0; size <= letters.length; size++) {
      const prefix = letters.slice(0, size);
      const sharing = others.filter((other) => other.letters.startsWith(prefix)).length;
      if (sharing >= rule.quorum - 1 && size > best.length) best = prefix;
    }
  }
  return best;
}

const letters = fc.string({ unit: fc.constantFrom("x", "y"), maxLength: 7 });
const histories = fc
  .tuple(
    fc.integer({ min: 3, max: 6 }),
    fc.string({ unit: fc.constantFrom("x", "y"), maxLength: 6 }),
  )
  .chain(([count, shared]) =>
    fc.tuple(
      fc.constant(count),
      fc.array(
        fc.record({
          isVoting: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
          term: fc.constantFrom(2, 2, 2, 1),
          kept: fc.nat(6),
          rest: letters,
        }),
        { minLength: count, maxLength: count },
      ),
      fc.constant(shared),
    ),
  )
  .map(([count, drawn, shared]) => {
    const rule = ruleOf(count);
    const cities = drawn.flatMap(({ isVoting, term, kept, rest }, i): City[] => {
      const id = rule.cities[i] as string;
      return isVoting ? [{ id, term, letters: shared.slice(0, kept) + rest }] : [];
    });
    return { rule, cities };
  })
  .filter(({ cities }) => cities.length > 0);

test("the start is that of a search over all prefixes, and its evidence shows it to somebody with that tree", () => {
  let forked = 0;
  fc.assert(
    fc.property(histories, ({ rule, cities }) => {
      const question = questionOf(cities, [rule]);
      const chosen = chooseStart(question, treesOf(cities));
      const slow = slowStart(cities, rule);
      assert.equal(chosen?.size, slow === undefined ? undefined : BigInt(slow.length));
      if (chosen === undefined || slow === undefined) return;
      if (chosen.evidence !== undefined) forked++;
      const own = treeOf(`${slow}zz`);
      assert.equal(verifyStart(question, own, chosen.size, chosen.evidence), "right");
    }),
    { numRuns: 2000 },
  );
  assert.ok(forked > 200, `${forked} forks`);
});

test("no other size and no other tree is right, whatever evidence comes with it", () => {
  fc.assert(
    fc.property(histories, fc.nat(9), letters, ({ rule, cities }, size, ownLetters) => {
      const slow = slowStart(cities, rule);
      const question = questionOf(cities, [rule]);
      const own = treeOf(ownLetters);
      const start = BigInt(size);
      const isRight = slow !== undefined && size === slow.length && ownLetters.startsWith(slow);
      const verdicts = evidences(question, cities, start).map((evidence) =>
        verifyStart(question, own, start, evidence),
      );
      assert.equal(verdicts.includes("right"), isRight);
    }),
    { numRuns: 2000 },
  );
});

/** None, and the best that somebody could show for `start`: every pair as the conflict, every part that there is. */
function evidences(
  question: StartQuestion,
  cities: readonly City[],
  start: bigint,
): readonly (StartEvidence | undefined)[] {
  const parts = question.votes
    .filter(({ size }) => size > start)
    .map(({ city, size }) => {
      const tree = treesOf(cities)(city);
      return {
        city,
        root: tree.rootAt(start) as Uint8Array,
        consistency: start === 0n ? [] : tree.consistencyProof(start, size),
        leafHash: tree.leafHash(start),
        inclusion: tree.inclusionProof(start, size),
      };
    });
  const pairs = question.votes.flatMap((smaller) =>
    question.votes
      .filter(({ size }) => size >= smaller.size)
      .map((larger) => ({ smaller, larger })),
  );
  return [
    undefined,
    ...pairs.map(({ smaller, larger }) => {
      const tree = treesOf(cities)(larger.city);
      const root = tree.rootAt(smaller.size) as Uint8Array;
      const consistency =
        smaller.size === 0n ? [] : tree.consistencyProof(smaller.size, larger.size);
      const conflict = { smaller: smaller.city, larger: larger.city, root, consistency };
      return { start, conflict, parts };
    }),
  ];
}

const four = ruleOf(4);
const agreed: readonly City[] = [
  { id: "a", term: 1, letters: "abcde" },
  { id: "b", term: 2, letters: "abc" },
  { id: "c", term: 2, letters: "abcd" },
];
/** The sequencer in "a" showed b and c one tree, d another. */
const forked: readonly City[] = [
  { id: "a", term: 2, letters: "abcdef" },
  { id: "b", term: 2, letters: "abcde" },
  { id: "c", term: 2, letters: "abcd" },
  { id: "d", term: 2, letters: "abxyz" },
];

test("checkpoints that agree: the highest of the highest term, not the highest of all", () => {
  const chosen = chooseStart(questionOf(agreed, [four]), treesOf(agreed));
  assert.deepEqual(chosen, { size: 4n, holder: "c" });
});

test("fewer votes than a quorum open nothing", () => {
  const two = agreed.slice(0, 2);
  assert.equal(chooseStart(questionOf(two, [four]), treesOf(two)), undefined);
  assert.equal(verifyStart(questionOf(two, [four]), treeOf("abc"), 3n, undefined), "too few votes");
});

test("a quorum of the cities before a change is not one of the cities after it: both count", () => {
  const after: CosigningRule = { cities: ["b", "c", "d", "e"], quorum: 3, faults: 1 };
  const question = questionOf(agreed, [four, after]);
  assert.equal(verifyStart(question, treeOf("abcd"), 4n, undefined), "too few votes");
});

test("a fork without the vote of one other city opens nothing", () => {
  const cities = forked.filter(({ id }) => id !== "c");
  assert.equal(chooseStart(questionOf(cities, [four]), treesOf(cities)), undefined);
});

test("a fork: the start is what two of the three honest cities have in common", () => {
  const chosen = chooseStart(questionOf(forked, [four]), treesOf(forked));
  assert.equal(chosen?.size, 4n);
});

test("a highest checkpoint that the own tree does not have is no start without a proven fork", () => {
  const question = questionOf(agreed, [four]);
  assert.equal(verifyStart(question, treeOf("abcx"), 3n, undefined), "wrong");
  assert.equal(verifyStart(question, treeOf("abcx"), 4n, undefined), "wrong");
});

test("evidence that leaves out the checkpoint with more in common is no evidence", () => {
  const question = questionOf(forked, [four]);
  const { evidence } = chooseStart(question, treesOf(forked)) as { evidence: StartEvidence };
  const low = evidences(question, forked, 3n).at(-1) as StartEvidence;
  for (const city of ["b", "c", "d"]) {
    const parts = low.parts.filter((part) => part.city !== city);
    const shown = { ...low, conflict: evidence.conflict, parts };
    assert.equal(verifyStart(question, treeOf("abc"), 3n, shown), "wrong", city);
  }
});

test("every changed hash of the evidence makes it wrong", () => {
  const question = questionOf(forked, [four]);
  const own = treeOf("abcd");
  const { evidence } = chooseStart(question, treesOf(forked)) as { evidence: StartEvidence };
  assert.equal(verifyStart(question, own, 4n, evidence), "right");
  const flip = (hash: Uint8Array): Uint8Array => hash.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
  const { conflict, parts } = evidence;
  const changed: StartEvidence[] = [
    { ...evidence, start: 3n },
    { ...evidence, conflict: { ...conflict, root: flip(conflict.root) } },
    ...parts.flatMap((part, i) =>
      [
        { ...part, root: flip(part.root) },
        { ...part, leafHash: flip(part.leafHash) },
        { ...part, inclusion: part.inclusion.map(flip) },
        { ...part, consistency: part.consistency.map(flip) },
        { ...part, city: "e" },
      ].map((other) => ({ ...evidence, parts: parts.with(i, other) })),
    ),
  ];
  for (const [i, shown] of changed.entries()) {
    assert.equal(verifyStart(question, own, 4n, shown), "wrong", `change ${i}`);
  }
});
