/**
 * Runs schedules one after another. `CAUSEWAY_SIM_SCHEDULES` says how many, `CAUSEWAY_SIM_FIRST` from which seed on,
 * and `CAUSEWAY_SIM_MINUTES` after how many minutes no further one is begun, whichever comes first. A run that takes
 * long tells on stderr how it goes.
 */
import assert from "node:assert/strict";

export interface ManyOptions {
  /** What is told of: a few words. */
  readonly name: string;
  /** Schedules, unless the environment says how many. */
  readonly usual: number;
  /** The environment counts schedules of the ledger alone: one of these takes as long as so many. */
  readonly weight: number;
  /** Command that replays one seed. */
  readonly replay: string;
  /** One schedule; resolves with what was seen broken. */
  readonly run: (seed: number) => Promise<string | undefined> | string | undefined;
}

/** Milliseconds between two lines of progress. */
const toldEveryMs = 30_000;

const environment = process.env;

/** Seed of the first schedule. */
export const firstSeed: number = numberOf("CAUSEWAY_SIM_FIRST") ?? 0;

/** Runs them until one breaks, which fails with the seed that replays it. Returns how many were run. */
export async function runMany(options: ManyOptions): Promise<number> {
  const { name, usual, weight, replay, run } = options;
  const asked = numberOf("CAUSEWAY_SIM_SCHEDULES");
  const count = asked === undefined ? usual : Math.ceil(asked / weight);
  const minutes = numberOf("CAUSEWAY_SIM_MINUTES");
  const startedMs = performance.now();
  const endsMs = startedMs + (minutes ?? Infinity) * 60_000;
  let toldMs = startedMs;
  let done = 0;
  const tell = (nowMs: number): void => {
    const seconds = (nowMs - startedMs) / 1000;
    const rate = `${(done / seconds).toFixed(1)}/s`;
    const left = Math.min(((count - done) * seconds) / done, (endsMs - nowMs) / 1000);
    const next = done < count ? `, ${Math.round(left / 60)} min left` : "";
    process.stderr.write(
      `${name}: ${done} of ${count} from seed ${firstSeed}, ${Math.round(seconds)} s, ${rate}${next}\n`,
    );
  };
  for (; done < count; done++) {
    const nowMs = performance.now();
    if (nowMs >= endsMs) break;
    if (nowMs - toldMs >= toldEveryMs) {
      toldMs = nowMs;
      tell(nowMs);
    }
    const seed = firstSeed + done;
    const broken = await run(seed);
    assert.equal(
      broken,
      undefined,
      `seed ${seed}: ${broken}; replay it with: CAUSEWAY_SIM_SEED=${seed} ${replay}`,
    );
    // What else waits has its turn: a reader of the progress, and the end of the test.
    if (done % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  if (toldMs > startedMs || minutes !== undefined) tell(performance.now());
  return done;
}

function numberOf(name: string): number | undefined {
  const text = environment[name];
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new TypeError(`${name} is not a number: ${text}`);
  return value;
}
