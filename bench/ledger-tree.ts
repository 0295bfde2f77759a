/**
 * What a stored ledger costs as it grows: one process for each size, all of them measured in turn in each
 * round, so that a machine that drifts does so for every size. Ratios are taken inside of a round.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, startChild } from "./child.ts";
import { median } from "./figures.ts";
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

export interface TreeMeasurement {
  readonly operations: readonly TreeFigures[];
  readonly processes: readonly TreeProcess[];
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
    return {
      operations: storeOperations.flatMap((operation) =>
        plan.sizes.map((leaves) => figuresOf(rounds, operation, leaves, plan.sizes[0] ?? leaves)),
      ),
      processes: await Promise.all(trees.map(processOf)),
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
  const start = (): Promise<Child> =>
    startChild(new URL("./ledger-store.js", import.meta.url), ["--file", file], []);
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

function ask(child: Child, question: StoreQuestion): Promise<unknown> {
  return child.ask(question);
}
