/** One function for each business event: a low-cardinality counter and a log record. It never fails a call. */
import type { Logger } from "pino";
import { CausewayError } from "../src/base/errors.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type { ExchangeEvents, ExchangeSpan, SegmentSealed } from "../src/exchange/events.ts";

/** Upper bounds of the duration histogram, in milliseconds. */
const durationBoundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000];

/** Of what is not recorded. */
export const unrecordedSpan: ExchangeSpan = {
  trace: undefined,
  sealed: () => undefined,
  end: () => undefined,
};

interface Histogram {
  readonly buckets: number[];
  sumMs: number;
  count: number;
}

export class Telemetry implements ExchangeEvents {
  readonly #logger: Logger;
  readonly #counters = new Map<string, number>();
  readonly #durations = new Map<string, Histogram>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  exchangeEnded(event: Parameters<ExchangeEvents["exchangeEnded"]>[0]): void {
    const { side, outcome, grpcCode, durationMs } = event;
    this.#count(
      `causeway_exchanges_total{side="${side}",outcome="${outcome}",grpc_code="${grpcCode}"}`,
    );
    this.#observe(side, durationMs);
    this.#logger.debug({ event: "exchange", ...event }, "exchange ended");
  }

  refused(event: Parameters<ExchangeEvents["refused"]>[0]): void {
    this.#count(`causeway_refusals_total{side="${event.side}",reason="${event.reason}"}`);
    this.#logger.info({ event: "refused", ...event }, "call refused");
  }

  /** A call of the agency listener whose caller is not known: no record is made of it. */
  unauthenticated(reason: ReasonCode): void {
    this.#count(`causeway_unauthenticated_calls_total{reason="${reason}"}`);
    this.#logger.debug({ event: "unauthenticated", reason }, "caller not known");
  }

  segmentSealed({ side }: SegmentSealed): void {
    this.#count(`causeway_segments_total{side="${side}"}`);
  }

  startSpan(): ExchangeSpan {
    return unrecordedSpan;
  }

  internalError({ error, errorId }: Parameters<ExchangeEvents["internalError"]>[0]): void {
    this.#count("causeway_internal_errors_total");
    const code = error instanceof CausewayError ? error.code : undefined;
    this.#logger.error({ event: "internal-error", errorId, code, err: error }, "internal error");
  }

  /** The Prometheus text format. */
  format(gauges: Readonly<Record<string, number>>): string {
    const lines = [...this.#counters].map(([name, value]) => `${name} ${value}`);
    for (const [side, { buckets, sumMs, count }] of this.#durations) {
      const name = "causeway_exchange_duration_ms";
      for (const [i, bound] of durationBoundsMs.entries()) {
        lines.push(`${name}_bucket{side="${side}",le="${bound}"} ${buckets[i]}`);
      }
      lines.push(`${name}_bucket{side="${side}",le="+Inf"} ${count}`);
      lines.push(`${name}_sum{side="${side}"} ${sumMs.toFixed(3)}`);
      lines.push(`${name}_count{side="${side}"} ${count}`);
    }
    for (const [name, value] of Object.entries(gauges)) lines.push(`${name} ${value}`);
    return `${lines.join("\n")}\n`;
  }

  #count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }

  #observe(side: string, durationMs: number): void {
    let histogram = this.#durations.get(side);
    if (histogram === undefined) {
      histogram = { buckets: durationBoundsMs.map(() => 0), sumMs: 0, count: 0 };
      this.#durations.set(side, histogram);
    }
    for (const [i, bound] of durationBoundsMs.entries()) {
      if (durationMs <= bound) histogram.buckets[i] = (histogram.buckets[i] ?? 0) + 1;
    }
    histogram.sumMs += durationMs;
    histogram.count++;
  }
}
