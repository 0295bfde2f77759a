/** The sealer beside the POSIX driver of Tessera: durable records a second, in turn, from as many callers, on one disk. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Child } from "./child.ts";
import { median } from "./figures.ts";
import { buildGoPrograms, startGoProgram } from "./go-programs.ts";
import type { Missing } from "./missing.ts";
import { measureSeal } from "./seal.ts";

export interface TesseraPlan {
  readonly rounds: number;
  /** Of each load, before anything is counted; a journal and a log are new for each. */
  readonly warmMs: number;
  readonly measuredMs: number;
  readonly callers: readonly number[];
  readonly recordBytes: number;
  /** Tessera writes what has come when there are so many entries, or the first is so old. */
  readonly batchEntriesMax: readonly number[];
  readonly batchAgeMsMax: number;
}

/** Medians over the rounds. */
export interface DurableFigures {
  readonly callers: number;
  /** Tessera's setting; absent for the sealer, which waits for nothing. */
  readonly batchEntriesMax: number | undefined;
  readonly recordsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU microseconds of all threads for each record, the callers' own included. */
  readonly cpuUsPerRecord: number;
}

export interface TesseraComparison {
  readonly callers: number;
  /** Records per second, the sealer / Tessera at the setting that was the fastest in the same round. */
  readonly throughput: number;
  /** Of the sealer. */
  readonly p99Ms: number;
}

export interface TesseraFigures {
  /** Of Tessera. */
  readonly version: string;
  readonly recordBytes: number;
  readonly batchAgeMsMax: number;
  readonly measured: readonly DurableFigures[];
  readonly comparisons: readonly TesseraComparison[];
}

/** What `tessera-append` is asked. */
interface AppendLoad {
  readonly folder: string;
  readonly callers: number;
  readonly entryBytes: number;
  readonly batchEntriesMax: number;
  readonly batchAgeMsMax: number;
  readonly warmMs: number;
  readonly measuredMs: number;
}

interface AppendFigures {
  readonly entriesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUsPerEntry: number;
  readonly version: string;
}

type Round = readonly DurableFigures[];

/** Measures both in turn, or says what this machine lacks. */
export async function measureBesideTessera(
  plan: TesseraPlan,
  progress: (what: string) => void,
): Promise<TesseraFigures | Missing> {
  const missing = buildGoPrograms("tessera-append");
  if (missing !== undefined) return { missing };
  const folder = mkdtempSync(join(tmpdir(), "causeway-tessera-"));
  const appender = await startGoProgram("tessera-append");
  try {
    let version = "";
    const append = async (callers: number, batchEntriesMax: number): Promise<DurableFigures> => {
      const figures = await askAppend(appender, {
        ...plan,
        folder: join(folder, "log"),
        callers,
        entryBytes: plan.recordBytes,
        batchEntriesMax,
      });
      version = figures.version;
      return {
        callers,
        batchEntriesMax,
        recordsPerSecond: figures.entriesPerSecond,
        p50Ms: figures.p50Ms,
        p99Ms: figures.p99Ms,
        cpuUsPerRecord: figures.cpuUsPerEntry,
      };
    };
    const rounds: Round[] = [];
    for (let round = 1; round <= plan.rounds; round++) {
      const measured: DurableFigures[] = [];
      for (const callers of plan.callers) {
        progress(`making records durable, round ${round} of ${plan.rounds}, ${callers} callers`);
        measured.push(await seal(plan, callers, folder));
        for (const batchEntriesMax of plan.batchEntriesMax) {
          // More would never be there at one time, and only its age would end a batch.
          if (batchEntriesMax <= callers) measured.push(await append(callers, batchEntriesMax));
        }
      }
      rounds.push(measured);
    }
    const { recordBytes, batchAgeMsMax } = plan;
    return {
      version,
      recordBytes,
      batchAgeMsMax,
      measured: mediansOf(rounds),
      comparisons: plan.callers.map((callers) => compare(rounds, callers)),
    };
  } finally {
    await appender.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function seal(plan: TesseraPlan, callers: number, folder: string): Promise<DurableFigures> {
  const { warmMs, measuredMs, recordBytes } = plan;
  const record = new Uint8Array(recordBytes);
  const sealed = await measureSeal({ callers, record, warmMs, measuredMs, folder });
  const { p50Ms, p99Ms, cpuUsPerRecord, sealsPerSecond: recordsPerSecond } = sealed;
  const batchEntriesMax = undefined;
  return { callers, batchEntriesMax, recordsPerSecond, p50Ms, p99Ms, cpuUsPerRecord };
}

async function askAppend(appender: Child, load: AppendLoad): Promise<AppendFigures> {
  return (await appender.ask(load)) as AppendFigures;
}

function mediansOf(rounds: readonly Round[]): readonly DurableFigures[] {
  const [first = []] = rounds;
  return first.map(({ callers, batchEntriesMax }, i) => {
    const of = (figure: (measured: DurableFigures) => number): number =>
      median(rounds.map((round) => figure(round[i] as DurableFigures)));
    return {
      callers,
      batchEntriesMax,
      recordsPerSecond: of(({ recordsPerSecond }) => recordsPerSecond),
      p50Ms: of(({ p50Ms }) => p50Ms),
      p99Ms: of(({ p99Ms }) => p99Ms),
      cpuUsPerRecord: of(({ cpuUsPerRecord }) => cpuUsPerRecord),
    };
  });
}

function compare(rounds: readonly Round[], callers: number): TesseraComparison {
  const each = rounds.map((round) => {
    const own = round.filter((measured) => measured.callers === callers);
    const sealer = own.find(({ batchEntriesMax }) => batchEntriesMax === undefined);
    const others = own.filter((measured) => measured !== sealer);
    const fastest = Math.max(...others.map(({ recordsPerSecond }) => recordsPerSecond));
    const { recordsPerSecond = Number.NaN, p99Ms = Number.NaN } = sealer ?? {};
    return { throughput: recordsPerSecond / fastest, p99Ms };
  });
  return {
    callers,
    throughput: median(each.map(({ throughput }) => throughput)),
    p99Ms: median(each.map(({ p99Ms }) => p99Ms)),
  };
}
