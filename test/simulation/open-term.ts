import { equalBytes } from "../../src/base/bytes.ts";
import {
  chooseStart,
  type ChosenStart,
  type ProvableTree,
  type StartQuestion,
} from "../../src/ledger/embedded/term-start.ts";
import { appendTo, type Row, type Rows, rootOf, type SimBatch, type Vote } from "./history.ts";
import type { SimNode } from "./node.ts";
import { isRight, provable, questionOf } from "./opening.ts";

/**
 * The appointed gateway gathers what the votes' checkpoints cover, works out the start, takes its own
 * batches that do not stand there, seals the votes, and is the sequencer once all of it is stored.
 */
export function openTerm(node: SimNode, term: number, all: readonly Vote[]): void {
  const { process, sim } = node;
  if (process === undefined || process.replica.term >= term) return;
  const votes = countable(node, all);
  const found = findStart(node, votes);
  if (found === undefined) return;
  process.gateway.put({ kind: "votes", votes }, (sealed) => {
    if (sealed !== undefined) finish(node, { term, sealed, kept: found });
  });
  sim.world.note(`${node.name} opens term ${term} at ${found.length}`);
}

function finish(
  node: SimNode,
  { term, sealed, kept }: { readonly term: number; readonly sealed: SimBatch; readonly kept: Rows },
): void {
  const { process, sim } = node;
  if (process === undefined || process.replica.term >= term) return;
  const { replica, gateway } = process;
  const isBound = !node.isLiar || sim.liar?.lies.keeps === undefined;
  const keepsFinal = sim.rules.followerKeepsFinal && isBound;
  if (kept.length < replica.finalSize && keepsFinal) return;
  const rows: Row[] = [...kept];
  const stands = new Set(kept.map(({ batch }) => batch.id));
  for (const batch of gateway.journal.batches) {
    if (stands.has(batch.id)) continue;
    const row = appendTo(rows.at(-1), batch, sim);
    if (typeof row === "string") {
      sim.world.note(`${node.name}: batch ${batch.id} opens no term: ${row}`);
      return;
    }
    rows.push(row);
    if (batch.id === sealed.id) break;
  }
  if ((rows.at(-1) as Row).facts.terms.at(-1)?.term !== term) {
    sim.world.note(`${node.name}: the votes open no term ${term}`);
    return;
  }
  const shared = sharedSize(replica.rows, rows);
  if (shared < replica.finalSize && keepsFinal) return;
  replica.openTerm(Math.min(shared, kept.length), rows.slice(Math.min(shared, kept.length)));
  node.lookAtRole();
}

function sharedSize(a: Rows, b: Rows): number {
  let size = 0;
  while (size < a.length && a[size] === b[size]) size += 1;
  return size;
}

/** Votes whose tree is at hand; what a lower term had beyond the next one's start is not asked for. */
function countable(node: SimNode, votes: readonly Vote[]): readonly Vote[] {
  const { sim } = node;
  const finalSize = node.process?.replica.finalSize ?? 0;
  const shown = votes.filter((vote) => {
    const rows = rowsFor(node, vote);
    if (rows === undefined || !sim.rules.earlierStartsChecked) return rows !== undefined;
    return isRight({ rows, finalSize, sim }, sim.rules);
  });
  const top = Math.max(0, ...shown.map(({ highest }) => highest?.key.term ?? 0));
  return votes.filter((vote) => shown.includes(vote) || (vote.highest?.key.term ?? 0) < top);
}

/** The leaves that the term keeps, from whoever has them. */
function findStart(node: SimNode, votes: readonly Vote[]): Rows | undefined {
  const { sim } = node;
  const replica = node.process?.replica;
  if (replica === undefined) return undefined;
  const trees = new Map<string, ProvableTree>();
  const rowsOf = new Map<string, Rows>();
  const top = Math.max(0, ...votes.map(({ highest }) => highest?.key.term ?? 0));
  for (const vote of votes) {
    const rows = rowsFor(node, vote);
    if (rows !== undefined) {
      trees.set(`city${vote.city}`, provable(rows));
      rowsOf.set(`city${vote.city}`, rows);
    } else if ((vote.highest?.key.term ?? 0) === top) {
      sim.world.note(`${node.name}: nobody shows the tree of city${vote.city}'s vote`);
      return undefined;
    }
  }
  const newest = votes.filter(({ highest }) => (highest?.key.term ?? 0) === top);
  if (votes.length === 0) return undefined;
  const highest = Math.max(...newest.map(({ highest: head }) => head?.size ?? 0));
  const from = Math.min(replica.finalSize, highest);
  const facts = ([...rowsOf.values()].find((rows) => rows.length >= highest) as Rows).at(-1)?.facts;
  if (facts === undefined) return undefined;
  const question = questionOf(facts, votes, { from, to: highest });
  if (!sim.rules.startOfLiarsTerm) return highestOf(newest, rowsOf);
  const { keeps } = sim.liar?.lies ?? {};
  if (node.isLiar && keeps !== undefined) return [...rowsOf.values()][0]?.slice(0, keeps);
  if (node.isLiar && sim.world.random.chance(0.7)) return lyingStart(node, rowsOf);
  const chosen = startFrom(question, trees);
  if (chosen === undefined) {
    const voters = votes.map(
      ({ city, highest: head }) => `city${city} ${head?.key.term}/${head?.size}`,
    );
    sim.world.note(`${node.name}: the votes give no start: ${voters.join(", ")}`);
    return undefined;
  }
  if (chosen.evidence !== undefined) sim.evidence.set((votes[0] as Vote).term, chosen.evidence);
  return (rowsOf.get(chosen.holder) as Rows).slice(0, Number(chosen.size));
}

/** Some beginning of some tree. */
function lyingStart({ sim }: SimNode, rowsOf: ReadonlyMap<string, Rows>): Rows {
  const rows = sim.world.random.pick([...rowsOf.values()]);
  return rows.slice(0, sim.world.random.between(1, Math.max(1, rows.length)));
}

/** Where the votes contradict each other, the trees of lower terms are needed too: one may be gone. */
function startFrom(
  question: StartQuestion,
  trees: ReadonlyMap<string, ProvableTree>,
): ChosenStart | undefined {
  let isMissing = false;
  const treeOf = (city: string): ProvableTree => {
    const tree = trees.get(city);
    if (tree === undefined) {
      isMissing = true;
      throw new TypeError(`the tree of ${city}'s vote is gone`);
    }
    return tree;
  };
  try {
    return chooseStart(question, treeOf);
  } catch (error) {
    if (isMissing) return undefined;
    throw error;
  }
}

function highestOf(votes: readonly Vote[], rowsOf: ReadonlyMap<string, Rows>): Rows {
  const best = votes.reduce((a, b) => ((b.highest?.size ?? 0) > (a.highest?.size ?? 0) ? b : a));
  return (rowsOf.get(`city${best.city}`) as Rows).slice(0, best.highest?.size ?? 0);
}

/** The history that a vote's checkpoint ends, if somebody who can be reached has it. */
function rowsFor(node: SimNode, { highest, city }: Vote): Rows | undefined {
  const { sim } = node;
  if (highest === undefined) return [sim.founded];
  const { size, root } = highest;
  const stands = (rows: Rows): boolean =>
    rows.length >= size && equalBytes(rootOf(rows, size), root);
  for (const other of [node, sim.nodes[city] as SimNode, ...sim.nodes]) {
    if (
      other !== node &&
      (!other.isUp || sim.network.isCut(node, other) || sim.network.isCut(other, node))
    )
      continue;
    const all = [
      other.process?.replica.rows ?? [],
      ...(other.isLiar ? (sim.liar?.histories() ?? []) : []),
    ];
    const rows = all.find(stands);
    if (rows !== undefined) return rows.slice(0, size);
    const { dropped } = other.disks.ledger.content;
    const last = dropped.find((row) => row.index + 1 === size && equalBytes(row.root, root));
    if (last !== undefined) return historyOf(last);
  }
  return undefined;
}

function historyOf(last: Row): Rows {
  const rows: Row[] = [];
  for (let row: Row | undefined = last; row !== undefined; row = row.before) rows.push(row);
  return rows.reverse();
}
