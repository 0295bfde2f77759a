/**
 * Histories of the ledger as a tree of rows: each row is one leaf behind its predecessor, with the real
 * hashes of the tree that it ends and what the registry knows after it. A row that two nodes append to
 * the same history is made once, and is the same object for both.
 */
import { equalBytes, utf8 } from "../../src/base/bytes.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  rangeRoot,
  type TreeNode,
} from "../../src/merkle/compact-range.ts";
import { emptyRoot, leafHash } from "../../src/merkle/hash.ts";
import type { HashReader } from "../../src/merkle/reader.ts";
import { applyContents, type Facts, noFacts } from "./facts.ts";
import type { LogKey, Note } from "./notes.ts";

export interface Vote {
  readonly city: number;
  readonly term: number;
  readonly gateway: number;
  readonly key: LogKey;
  /** The highest checkpoint that the city's witness has cosigned, under the log's signature. */
  readonly highest: Note | undefined;
}

export type Content =
  | { readonly kind: "founding" }
  | { readonly kind: "receipt"; readonly grant: number; readonly decidedAtMs: number }
  | { readonly kind: "revocation"; readonly grant: number }
  | { readonly kind: "votes"; readonly votes: readonly Vote[] }
  | { readonly kind: "epoch"; readonly epoch: number; readonly after: Uint8Array }
  | {
      readonly kind: "membership";
      readonly cities: readonly number[];
      readonly quorum: number;
      readonly faults: number;
    };

/** A batch that its gateway has signed. */
export interface SimBatch extends SealedBatch {
  readonly id: number;
  readonly leafHash: Uint8Array;
  readonly gateway: number;
  readonly epoch: number;
  readonly seq: number;
  readonly prev: Uint8Array;
  readonly seenSize: number;
  readonly seenRoot: Uint8Array;
  readonly sealedAtMs: number;
  readonly contents: readonly Content[];
}

export interface Row {
  readonly index: number;
  readonly batch: SimBatch;
  readonly before: Row | undefined;
  readonly range: CompactRange;
  readonly nodes: readonly TreeNode[];
  /** Of the tree that ends with this leaf. */
  readonly root: Uint8Array;
  readonly facts: Facts;
  readonly next: Map<number, Row | string>;
}

export type Rows = readonly Row[];

const noLeaf = new Uint8Array(32);

export function createBatch(
  id: number,
  header: Omit<SimBatch, "id" | "leaf" | "leafHash" | "records">,
): SimBatch {
  const leaf = utf8(`leaf ${id}`);
  return { ...header, id, leaf, leafHash: leafHash(leaf), records: [] };
}

/** The row that the batch makes behind `before`, or the reason why structure refuses it there. */
export function appendTo(
  before: Row | undefined,
  batch: SimBatch,
  options: { readonly first: Map<number, Row | string>; readonly areVotesChecked: boolean },
): Row | string {
  const known = before === undefined ? options.first : before.next;
  const made = known.get(batch.id);
  if (made !== undefined) return made;
  const row = judge(before, batch, options.areVotesChecked);
  known.set(batch.id, row);
  return row;
}

function judge(before: Row | undefined, batch: SimBatch, areVotesChecked: boolean): Row | string {
  const index = before === undefined ? 0 : before.index + 1;
  const facts = before?.facts ?? noFacts;
  if (before === undefined && batch.contents[0]?.kind !== "founding") return "BATCH_INVALID";
  const fault = chainFault(facts, batch) ?? seenFault(before, batch, index);
  if (fault !== undefined) return fault;
  const { range, nodes } = appendLeaf(before?.range ?? emptyRange, batch.leafHash);
  const root = rangeRoot(range);
  return {
    index,
    batch,
    before,
    range,
    nodes,
    root,
    facts: applyContents(facts, batch, { before, index, areVotesChecked }),
    next: new Map(),
  };
}

function chainFault(facts: Facts, batch: SimBatch): string | undefined {
  const tip = facts.chains[batch.gateway];
  const { epoch, seq, prev } = batch;
  if (tip === undefined) {
    return epoch === 0 && seq === 0 && equalBytes(prev, noLeaf) ? undefined : "CHAIN_GAP";
  }
  if (tip.id === batch.id) return "BATCH_KNOWN";
  if (epoch < tip.epoch || (epoch === tip.epoch && seq <= tip.seq)) return "CHAIN_FORK";
  if (epoch > tip.epoch) {
    const [first] = batch.contents;
    if (seq !== 0 || first?.kind !== "epoch" || first.epoch !== epoch) return "CHAIN_GAP";
    if (!equalBytes(first.after, tip.leafHash)) return "CHAIN_FORK";
  } else if (seq > tip.seq + 1) return "CHAIN_GAP";
  if (!equalBytes(prev, tip.leafHash)) return "CHAIN_FORK";
  const isBack = batch.seenSize < tip.seenSize || batch.sealedAtMs < tip.sealedAtMs;
  return isBack ? "SEEN_DECREASING" : undefined;
}

function seenFault(before: Row | undefined, batch: SimBatch, index: number): string | undefined {
  if (batch.seenSize > index) return "SEEN_INVALID";
  const root = rootBelow(before, batch.seenSize);
  return equalBytes(root, batch.seenRoot) ? undefined : "SEEN_INVALID";
}

/** Root of the first `size` leaves of the history that ends with `row`. */
export function rootBelow(row: Row | undefined, size: number): Uint8Array {
  let at = row;
  while (at !== undefined && at.index >= size) at = at.before;
  return at?.root ?? emptyRoot;
}

export function rootOf(rows: Rows, size: number): Uint8Array {
  return size === 0 ? emptyRoot : (rows[size - 1] as Row).root;
}

/** The hashes of a history, for proofs. */
export function readerOf(rows: Rows): HashReader {
  return {
    readHash(level, index): Uint8Array {
      const last = ((Number(index) + 1) << level) - 1;
      return ((rows[last] as Row).nodes[level] as TreeNode).hash;
    },
  };
}

export function factsOf(rows: Rows): Facts {
  return rows.at(-1)?.facts ?? noFacts;
}
