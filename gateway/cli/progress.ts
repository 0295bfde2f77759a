/** How far long work is: rate and time left on standard error, once a second at the most. */
import type { Io } from "./io.ts";

export interface ProgressOptions {
  /** Shown also where standard error is no terminal. */
  readonly progress?: boolean | undefined;
}

export interface Progress {
  /** So many are done, of so many where that is known. */
  at(done: number | bigint, total?: number | bigint): void;
  /** Ends the line. */
  end(): void;
}

const everyMs = 1000;

/** The progress of one piece of work; `unit` is what is counted, such as `batches`, `from` what was done before. */
export function startProgress(
  io: Pick<Io, "warn" | "clock" | "isErrorTerminal">,
  unit: string,
  { progress }: ProgressOptions,
  from: number | bigint = 0,
): Progress {
  const isTerminal = io.isErrorTerminal === true;
  if (!isTerminal && progress !== true) return { at: () => undefined, end: () => undefined };
  const startMs = io.clock.monotonicMs();
  const before = Number(from);
  let saidMs = startMs;
  let last = "";
  const say = (text: string): void => {
    io.warn(isTerminal ? `\r${text.padEnd(last.length)}` : `${text}\n`);
    last = text;
  };
  let newest = "";
  return {
    at(done, total): void {
      const nowMs = io.clock.monotonicMs();
      const passedMs = nowMs - startMs;
      newest = progressText({ done: Number(done) - before, from: before, total, passedMs, unit });
      if (nowMs - saidMs < everyMs) return;
      saidMs = nowMs;
      say(newest);
    },
    end(): void {
      if (newest !== "" && newest !== last) say(newest);
      if (isTerminal && last !== "") io.warn("\n");
    },
  };
}

/** Such as `1200 of 5000 batches, 400/s, 10 s left`. */
export function progressText(options: {
  /** Since the work began. */
  readonly done: number;
  /** Done already when it began. */
  readonly from: number;
  readonly total: number | bigint | undefined;
  readonly passedMs: number;
  readonly unit: string;
}): string {
  const { done, from, passedMs, unit } = options;
  const rate = passedMs > 0 ? (done * 1000) / passedMs : 0;
  const total = options.total === undefined ? undefined : Number(options.total);
  const amount = total === undefined ? `${from + done}` : `${from + done} of ${total}`;
  const parts = [`${amount} ${unit}`, `${rate >= 10 ? Math.round(rate) : rate.toFixed(1)}/s`];
  if (total !== undefined && rate > 0) {
    parts.push(`${durationText((total - from - done) / rate)} left`);
  }
  return parts.join(", ");
}

function durationText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
