/**
 * What a stored ledger costs as it grows: one process for each size, all of them measured in turn in each
 * round, so that a machine that drifts does so for every size. Ratios are taken inside of a round.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendBatchesMax } from "../src/base/limits.ts";
import { type Child, startChild } from "./child.ts";
import { median } from "./figures.ts";
import type { OpenedReplica, ReplicaQuestion } from "./ledger-replica.ts";
import { type StoreOperation, storeOperations, type StoreQuestion } from "./ledger-store.ts";
import { spreadOf } from "./percentiles.ts";

export interface TreePlan {
  /** Leaves of each stored ledger, the smallest first. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** How often each operation is done in a round. */
  readonly times: number;
}

export interface TreeFigures {
  readonly operation: StoreOperation;
  readonly leaves: number;
  /** Microseconds, of all rounds. */
  readonly p50Us: number;
  readonly p99Us: number;
  /** p50 against that of the smallest ledger, in the same round; the median of the rounds. */
  readonly toSmallest: number;
}

export interface TreeProcess {
  readonly leaves: number;
  readonly fileBytes: number;
  /** Of the process that has the store open, after all rounds. */
  readonly residentBytes: number;
  /** Seconds to open the store, and to fill it. */
  readonly openSeconds: number;
  readonly fillSeconds: number;
}

/** A replica over the same leaves: with the registry, and every batch verified. */
export interface TreeReplica {
  readonly leaves: number;
  /** Batches of one small record, verified, folded and stored, durable. */
  readonly includedPerSecond: number;
  /** Seconds to open it at the worst moment, when so many batches are folded again. */
  readonly openSeconds: number;
  readonly refolded: number;
  /** Of the process that has opened it. */
  readonly residentBytes: number;
}

export interface TreeMeasurement {
  readonly operations: readonly TreeFigures[];
  readonly processes: readonly TreeProcess[];
  readonly replicas: readonly TreeReplica[];
}

interface OpenTree {
  readonly leaves: number;
  readonly child: Child;
  readonly file: string;
  readonly openSeconds: number;
  readonly fillSeconds: number;
}

const fillStep = 1_000_000;

/** Fills the stores, measures, and removes them. */
export async function measureTree(
  plan: TreePlan,
  progress: (what: string) => void,
): Promise<TreeMeasurement> {
  const folder = mkdtempSync(join(tmpdir(), "causeway-tree-"));
  const trees: OpenTree[] = [];
  try {
    for (const leaves of plan.sizes) trees.push(await openTree(folder, leaves, progress));
    const rounds: Times[] = [];
    for (const [operations, times] of phases(plan.times)) {
      progress(`measuring ${operations.join(", ")}`);
      await measureOnce(trees, operations, times);
      for (let round = 0; round < plan.rounds; round++) {
        rounds.push(await measureOnce(trees, operations, times));
      }
    }
    const processes = await Promise.all(trees.map(processOf));
    const replicas: TreeReplica[] = [];
    for (const tree of trees.splice(0)) {
      await tree.child.stop();
      progress(`opening a replica over ${tree.leaves} leaves`);
      replicas.push(await measureReplica(tree));
    }
    return {
      operations: storeOperations.flatMap((operation) =>
        plan.sizes.map((leaves) => figuresOf(rounds, operation, leaves, plan.sizes[0] ?? leaves)),
      ),
      processes,
      replicas,
    };
  } finally {
    for (const { child } of trees) await child.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Appends come last and are fewer: they make the ledger longer. */
function phases(times: number): readonly (readonly [readonly StoreOperation[], number])[] {
  const appends: readonly StoreOperation[] = ["append, 1 leaf", "append, 64 leaves"];
  return [
    [storeOperations.filter((operation) => !appends.includes(operation)), times],
    [["append, 1 leaf"], Math.ceil(times / 2)],
    [["append, 64 leaves"], Math.ceil(times / 10)],
  ];
}

/** Filled by one process and opened by another, so that nothing of the filling is in its memory. */
async function openTree(
  folder: string,
  leaves: number,
  progress: (what: string) => void,
): Promise<OpenTree> {
  const file = join(folder, `${leaves}.sqlite`);
  const start = (): Promise<Child> => startOver("ledger-store", file);
  const startedMs = performance.now();
  const filling = await start();
  for (let size = 0; size < leaves; ) {
    size = Math.min(size + fillStep, leaves);
    progress(`filling a ledger, ${size} of ${leaves} leaves`);
    await ask(filling, { kind: "fill", leaves: size });
  }
  await filling.stop();
  const filledMs = performance.now();
  const child = await start();
  const openSeconds = (performance.now() - filledMs) / 1000;
  return { leaves, child, file, openSeconds, fillSeconds: (filledMs - startedMs) / 1000 };
}

/** Microseconds by operation and size. */
type Times = ReadonlyMap<string, readonly number[]>;

const nameOf = (operation: StoreOperation, leaves: number): string => `${leaves} ${operation}`;

async function measureOnce(
  trees: readonly OpenTree[],
  operations: readonly StoreOperation[],
  times: number,
): Promise<Times> {
  const measured = new Map<string, readonly number[]>();
  for (const operation of operations) {
    for (const { child, leaves } of trees) {
      const taken = await ask(child, { kind: "measure", operation, times });
      measured.set(nameOf(operation, leaves), taken as readonly number[]);
    }
  }
  return measured;
}

function figuresOf(
  rounds: readonly Times[],
  operation: StoreOperation,
  leaves: number,
  smallest: number,
): TreeFigures {
  const own = rounds.filter((round) => round.has(nameOf(operation, leaves)));
  const of = (round: Times, size: number): readonly number[] =>
    round.get(nameOf(operation, size)) ?? [];
  const { p50, p99 } = spreadOf(own.flatMap((round) => of(round, leaves)));
  const ratios = own.map(
    (round) => spreadOf(of(round, leaves)).p50 / spreadOf(of(round, smallest)).p50,
  );
  return { operation, leaves, p50Us: p50, p99Us: p99, toSmallest: median(ratios) };
}

async function processOf(tree: OpenTree): Promise<TreeProcess> {
  const { child, file, leaves, openSeconds, fillSeconds } = tree;
  const { residentBytes } = await child.usage();
  return { leaves, fileBytes: statSync(file).size, residentBytes, openSeconds, fillSeconds };
}

/** Grown by one process and opened by another, as the store is. */
async function measureReplica({ leaves, file }: OpenTree): Promise<TreeReplica> {
  const growing = await startOver("ledger-replica", file);
  const groups = (await ask(growing, { kind: "grow" })) as readonly number[];
  await growing.stop();
  const child = await startOver("ledger-replica", file);
  const { seconds, refolded } = (await ask(child, { kind: "open" })) as OpenedReplica;
  const { residentBytes } = await child.usage();
  await child.stop();
  const includedPerSecond = (appendBatchesMax * 1e6) / spreadOf(groups).p50;
  return { leaves, includedPerSecond, openSeconds: seconds, refolded, residentBytes };
}

function startOver(program: "ledger-store" | "ledger-replica", file: string): Promise<Child> {
  return startChild(new URL(`./${program}.js`, import.meta.url), ["--file", file], []);
}

function ask(child: Child, question: StoreQuestion | ReplicaQuestion): Promise<unknown> {
  return child.ask(question);
}
