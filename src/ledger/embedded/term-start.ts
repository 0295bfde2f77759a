/**
 * Where a term begins: how many leaves of the ledger so far it keeps. Worked out from the votes that
 * open it, so that nothing final is dropped although one city may lie. Pure. DESIGN.md section 7.
 */
import { equalBytes, toHex } from "../../base/bytes.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { emptyRoot } from "../../merkle/hash.ts";
import { verifyConsistency, verifyInclusion } from "../../merkle/verify.ts";
import type { CosigningRule } from "../../registry/cosigning.ts";

/** A city's vote, with the checkpoint that it names (`votedHead`), which a log has signed. */
export interface StartVote {
  readonly city: string;
  readonly term: bigint;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** What a start is worked out from. */
export interface StartQuestion {
  /** One for each city that voted. */
  readonly votes: readonly StartVote[];
  /** Every rule that a final size from the last known one to the start may have been judged by. */
  readonly rules: readonly CosigningRule[];
  /** City of the gateway that was the sequencer of the highest term which the votes name. */
  readonly sequencerCity: string;
}

/** A tree of which any prefix's root can be told, `undefined` above its size. */
export interface PrefixRoots {
  rootAt(size: bigint): Uint8Array | undefined;
}

/** A tree from which proofs can be given too. */
export interface ProvableTree extends PrefixRoots {
  leafHash(index: bigint): Uint8Array;
  inclusionProof(index: bigint, size: bigint): readonly Uint8Array[];
  /** `size1` is at least 1. */
  consistencyProof(size1: bigint, size2: bigint): readonly Uint8Array[];
}

/** What the tree of one vote's checkpoint has at the start, proved. */
export interface StartPart {
  readonly city: string;
  /** Root of its first `start` leaves, with the proof that they begin it; the proof is empty for start 0. */
  readonly root: Uint8Array;
  readonly consistency: readonly Uint8Array[];
  /** Its leaf at index `start`, with the proof. */
  readonly leafHash: Uint8Array;
  readonly inclusion: readonly Uint8Array[];
}

/**
 * Two checkpoints of the highest term of which neither begins the other: their sequencer lied. `root` is
 * what the larger one has at the size of the smaller.
 */
export interface StartConflict {
  readonly smaller: string;
  readonly larger: string;
  readonly root: Uint8Array;
  readonly consistency: readonly Uint8Array[];
}

/** Why a start may lie below the highest checkpoint. Nobody who verifies it needs a tree but the own. */
export interface StartEvidence {
  readonly start: bigint;
  readonly conflict: StartConflict;
  /** One for the checkpoint of each other city that is larger than the start. */
  readonly parts: readonly StartPart[];
}

export interface ChosenStart {
  readonly size: bigint;
  /** City of a vote whose checkpoint has these leaves. */
  readonly holder: string;
  /** Absent when the checkpoints agree. */
  readonly evidence?: StartEvidence;
}

/** Votes that count by every rule are there, of a size that stands. */
export type StartVerdict = "right" | "too few votes" | "wrong";

/**
 * The start that the votes give: the highest checkpoint of the highest term, if those of that term agree.
 * If two do not, their sequencer lied: its city's vote does not count, every other city must have voted,
 * and the start is the longest tree that q-1 of their checkpoints have in common. `undefined` while votes
 * are missing, or when the cities changed so much in between that two such trees may contradict each other.
 */
export function chooseStart(
  question: StartQuestion,
  treeOf: (city: string) => ProvableTree,
): ChosenStart | undefined {
  const newest = newestVotes(question);
  const highest = newest.reduce((a, b) => (b.size > a.size ? b : a));
  const conflict = findConflict(newest, treeOf);
  if (conflict === undefined) {
    return isVoted(question) ? { size: highest.size, holder: highest.city } : undefined;
  }
  if (!areOthersComplete(question) || !areComparable(question)) return undefined;
  const others = otherVotes(question);
  const best = question.rules
    .map((rule) => longestCommon(rule, others, treeOf))
    .reduce((a, b) => (b.size > a.size ? b : a));
  const parts = others
    .filter(({ size }) => size > best.size)
    .map((vote) => partOf(vote, best.size, treeOf(vote.city)));
  return { ...best, evidence: { start: best.size, conflict, parts } };
}

/**
 * Whether `start` is where the votes let the term begin, in the own tree, which has at least that many
 * leaves. Evidence that proves nothing, or not enough, makes it wrong: never right by default.
 */
export function verifyStart(
  question: StartQuestion,
  own: PrefixRoots,
  start: bigint,
  evidence: StartEvidence | undefined,
): StartVerdict {
  if (evidence === undefined) return verifyAgreed(question, own, start);
  if (!areOthersComplete(question)) return "too few votes";
  const isProved =
    evidence.start === start &&
    areComparable(question) &&
    isConflictProved(question, evidence.conflict);
  return isProved && isLongestCommon(question, own, evidence) ? "right" : "wrong";
}

function verifyAgreed(question: StartQuestion, own: PrefixRoots, start: bigint): StartVerdict {
  if (!isVoted(question)) return "too few votes";
  const newest = newestVotes(question);
  const stands = newest.every((vote) => vote.size <= start && isHeld(own, vote));
  return stands && newest.some(({ size }) => size === start) ? "right" : "wrong";
}

/** Votes whose checkpoint is of the highest term that any names. Throws RangeError without votes. */
export function newestVotes({ votes }: StartQuestion): readonly StartVote[] {
  const [first] = votes;
  if (first === undefined) throw new RangeError("a start is worked out from votes");
  const term = votes.reduce((highest, vote) => (vote.term > highest ? vote.term : highest), 0n);
  return votes.filter((vote) => vote.term === term);
}

/**
 * Whether the checkpoints that give the start agree in one tree and do not all stand in another, which a
 * term would put in its place: it would begin below the highest of them, and nobody has lied.
 */
export function isStartDropped(
  question: StartQuestion,
  own: PrefixRoots,
  next: PrefixRoots,
): boolean {
  const newest = newestVotes(question);
  return newest.every((vote) => isHeld(own, vote)) && !newest.every((vote) => isHeld(next, vote));
}

function isHeld(tree: PrefixRoots, { size, root }: StartVote): boolean {
  const held = tree.rootAt(size);
  return held !== undefined && equalBytes(held, root);
}

function otherVotes({ votes, sequencerCity }: StartQuestion): readonly StartVote[] {
  return votes.filter(({ city }) => city !== sequencerCity);
}

/** Whether a quorum of each rule has voted. */
function isVoted({ votes, rules }: StartQuestion): boolean {
  const voters = new Set(votes.map(({ city }) => city));
  return rules.every(
    ({ cities, quorum }) => cities.filter((id) => voters.has(id)).length >= quorum,
  );
}

/** Whether every city but that of the lying sequencer has voted. */
function areOthersComplete({ votes, rules, sequencerCity }: StartQuestion): boolean {
  const voters = new Set(votes.map(({ city }) => city));
  return rules.every(({ cities }) => cities.every((id) => id === sequencerCity || voters.has(id)));
}

/**
 * Whether two groups of q-1 honest cities, of whichever rules, always share a city: then what the one has
 * in common and what the other has are never two histories.
 */
function areComparable({ rules, sequencerCity }: StartQuestion): boolean {
  return rules.every((a) =>
    rules.every((b) => {
      const cities = new Set([...a.cities, ...b.cities]);
      cities.delete(sequencerCity);
      return a.quorum - 1 + (b.quorum - 1) > cities.size;
    }),
  );
}

function rootOf(tree: PrefixRoots, size: bigint): Uint8Array {
  const root = tree.rootAt(size);
  assertInvariant(root !== undefined, "a checkpoint's tree is at hand");
  return root;
}

function findConflict(
  votes: readonly StartVote[],
  treeOf: (city: string) => ProvableTree,
): StartConflict | undefined {
  const ascending = votes.toSorted((a, b) => Number(a.size > b.size) - Number(a.size < b.size));
  for (const [i, larger] of ascending.entries()) {
    for (const smaller of ascending.slice(0, i)) {
      const tree = treeOf(larger.city);
      const root = rootOf(tree, smaller.size);
      if (equalBytes(root, smaller.root)) continue;
      const consistency = consistencyOf(tree, smaller.size, larger.size);
      return { smaller: smaller.city, larger: larger.city, root, consistency };
    }
  }
  return undefined;
}

/** The longest tree that q-1 of the rule's other cities have in common. */
function longestCommon(
  { cities, quorum }: CosigningRule,
  others: readonly StartVote[],
  treeOf: (city: string) => ProvableTree,
): { readonly size: bigint; readonly holder: string } {
  const counted = others.filter(({ city }) => cities.includes(city));
  let best = { size: 0n, holder: counted[0]?.city ?? "" };
  for (const holder of counted) {
    const shared = counted
      .map((vote) => commonSize(holder, vote, treeOf))
      .sort((a, b) => Number(a < b) - Number(a > b));
    const size = shared[quorum - 2] ?? 0n;
    if (size > best.size) best = { size, holder: holder.city };
  }
  return best;
}

/** Leaves that the trees of two checkpoints have in common from the first on. */
function commonSize(a: StartVote, b: StartVote, treeOf: (city: string) => ProvableTree): bigint {
  const [treeA, treeB] = [treeOf(a.city), treeOf(b.city)];
  let low = 0n;
  let high = a.size < b.size ? a.size : b.size;
  while (low < high) {
    const middle = (low + high + 1n) / 2n;
    if (equalBytes(rootOf(treeA, middle), rootOf(treeB, middle))) low = middle;
    else high = middle - 1n;
  }
  return low;
}

function partOf({ city, size }: StartVote, start: bigint, tree: ProvableTree): StartPart {
  return {
    city,
    root: rootOf(tree, start),
    consistency: consistencyOf(tree, start, size),
    leafHash: tree.leafHash(start),
    inclusion: tree.inclusionProof(start, size),
  };
}

function consistencyOf(tree: ProvableTree, size1: bigint, size2: bigint): readonly Uint8Array[] {
  return size1 === 0n ? [] : tree.consistencyProof(size1, size2);
}

function isConflictProved(question: StartQuestion, conflict: StartConflict): boolean {
  const newest = newestVotes(question);
  const smaller = newest.find(({ city }) => city === conflict.smaller);
  const larger = newest.find(({ city }) => city === conflict.larger);
  if (smaller === undefined || larger === undefined || smaller.size > larger.size) return false;
  return (
    !equalBytes(conflict.root, smaller.root) &&
    isBegunBy(larger, { size: smaller.size, root: conflict.root, proof: conflict.consistency })
  );
}

/** Whether the tree of a checkpoint begins with a smaller one. */
function isBegunBy(
  vote: StartVote,
  begin: {
    readonly size: bigint;
    readonly root: Uint8Array;
    readonly proof: readonly Uint8Array[];
  },
): boolean {
  const { size: size1, root: root1, proof } = begin;
  if (size1 === 0n) return proof.length === 0 && equalBytes(root1, emptyRoot);
  return proves(() =>
    verifyConsistency({ size1, root1, size2: vote.size, root2: vote.root, proof }),
  );
}

function proves(verify: () => boolean): boolean {
  try {
    return verify();
  } catch (error) {
    if (error instanceof CausewayError && error.code === "PROOF_INVALID") return false;
    throw error;
  }
}

/** Whether q-1 others have the own tree at the start, by some rule, and by no rule q-1 of them have one leaf more. */
function isLongestCommon(
  question: StartQuestion,
  own: PrefixRoots,
  { start, parts }: StartEvidence,
): boolean {
  const root = own.rootAt(start);
  if (root === undefined) return false;
  /** The leaf that comes next in each tree that begins with the own one; none for one that ends there. */
  const next = new Map<string, string | undefined>();
  for (const vote of otherVotes(question)) {
    if (vote.size === start && equalBytes(vote.root, root)) next.set(vote.city, undefined);
    if (vote.size <= start) continue;
    // Without its part a checkpoint could be passed over that has more in common with others.
    const part = parts.find(({ city }) => city === vote.city);
    if (part === undefined || !isPartProved(vote, start, part)) return false;
    if (equalBytes(part.root, root)) next.set(vote.city, toHex(part.leafHash));
  }
  const hasQuorum = question.rules.some(
    ({ cities, quorum }) => cities.filter((city) => next.has(city)).length >= quorum - 1,
  );
  return hasQuorum && question.rules.every((rule) => mostWithOneLeaf(rule, next) < rule.quorum - 1);
}

function isPartProved(vote: StartVote, start: bigint, part: StartPart): boolean {
  const { root, consistency, leafHash, inclusion } = part;
  const leaf = { leafHash, index: start, size: vote.size, root: vote.root, proof: inclusion };
  return (
    isBegunBy(vote, { size: start, root, proof: consistency }) &&
    proves(() => verifyInclusion(leaf))
  );
}

/** How many of the rule's cities have the same leaf after the start, at the most. */
function mostWithOneLeaf(
  { cities }: CosigningRule,
  next: ReadonlyMap<string, string | undefined>,
): number {
  const counts = new Map<string, number>();
  for (const city of cities) {
    const leaf = next.get(city);
    if (leaf !== undefined) counts.set(leaf, (counts.get(leaf) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}
