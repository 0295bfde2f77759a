/** The metrics of a gateway: every name, its unit and what it counts. docs/telemetry.md lists them. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Attributes, Meter, MetricOptions, ObservableResult } from "@opentelemetry/api";
import type { ExchangeEnded } from "../src/exchange/events.ts";
import { bitLength } from "./telemetry-spans.ts";

const durationBoundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000];
const recordBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];
const byteBounds = [8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30].map((bits) => 2 ** bits);

/** What is looked at when somebody asks. */
export interface GatewayGauges {
  openExchanges(): number;
  openAttempts(): number;
  unacknowledgedReceipts(): number;
  links(): number;
  includedSize(): number;
  finalSize(): number;
  /** Seconds; `undefined` before the first final checkpoint. */
  finalAgeSeconds(): number | undefined;
  journalNotFinal(): number;
  isReady(): boolean;
}

export interface GatewayMetrics {
  exchangeEnded(event: ExchangeEnded): void;
  refused(side: string, reason: string): void;
  unauthenticated(reason: string): void;
  internalError(): void;
  segment(side: string): void;
  /** A record that is durable, from its queueing on. */
  recordSealed(durationMs: number): void;
  batchSealed(recordCount: number): void;
  observe(gauges: GatewayGauges): void;
  close(): void;
}

export function createGatewayMetrics(meter: Meter): GatewayMetrics {
  const exchanges = createTally(meter, "causeway_exchanges_total", {
    description: "Exchanges that ended, by side, outcome and gRPC code.",
  });
  const duration = meter.createHistogram("causeway_exchange_duration_ms", {
    description: "Milliseconds of an exchange on this side.",
    advice: { explicitBucketBoundaries: durationBoundsMs },
  });
  const messageBytes = meter.createHistogram("causeway_exchange_message_bytes", {
    description: "Bytes of all messages of an exchange, each rounded up to a power of two.",
    advice: { explicitBucketBoundaries: byteBounds },
  });
  const refusals = meter.createCounter("causeway_refusals_total", {
    description: "Calls that were refused, by side and reason.",
  });
  const unauthenticated = meter.createCounter("causeway_unauthenticated_calls_total", {
    description: "Calls on the agency listener whose caller is not known, by reason.",
  });
  const internalErrors = meter.createCounter("causeway_internal_errors_total", {
    description: "Unexpected errors; the log has each under its error id.",
  });
  const segments = createTally(meter, "causeway_segments_total", {
    description: "Receipts and acknowledgements that are durable, by side.",
  });
  const sealDuration = meter.createHistogram("causeway_seal_duration_ms", {
    description: "Milliseconds from the queueing of a record until it is durable.",
    advice: { explicitBucketBoundaries: durationBoundsMs },
  });
  const batchRecords = meter.createHistogram("causeway_batch_records", {
    description: "Records that one signature and one fsync sealed.",
    advice: { explicitBucketBoundaries: recordBounds },
  });
  const loopDelay = monitorEventLoopDelay({ resolution: 20 });
  return {
    exchangeEnded: ({ side, outcome, grpcCode, durationMs, messageBytes: bytes }) => {
      exchanges.count(`${side} ${grpcCode} ${outcome}`, { side, outcome, grpc_code: grpcCode });
      duration.record(durationMs, { side });
      // No exact size leaves the gateway, in the sum neither.
      if (bytes !== undefined) messageBytes.record(2 ** bitLength(bytes), { side });
    },
    refused: (side, reason) => refusals.add(1, { side, reason }),
    unauthenticated: (reason) => unauthenticated.add(1, { reason }),
    internalError: () => internalErrors.add(1),
    segment: (side) => segments.count(side, { side }),
    recordSealed: (durationMs) => sealDuration.record(durationMs),
    batchSealed: (recordCount) => batchRecords.record(recordCount),
    observe: (gauges) => {
      loopDelay.enable();
      observeGateway(meter, gauges);
      observeProcess(meter, () => {
        const delayMs = loopDelay.percentile(99) / 1e6;
        loopDelay.reset();
        return delayMs;
      });
    },
    close: () => loopDelay.disable(),
  };
}

interface Tally {
  /** One more under these attributes, which `name` tells from all others. */
  count(name: string, attributes: Attributes): void;
}

/**
 * A counter that is read when somebody asks: what every exchange counts must cost it next to nothing, and a
 * counter of the SDK sorts and prints its attributes each time.
 */
function createTally(meter: Meter, metric: string, options: MetricOptions): Tally {
  const counts = new Map<string, { readonly attributes: Attributes; count: number }>();
  meter.createObservableCounter(metric, options).addCallback((result) => {
    for (const { attributes, count } of counts.values()) result.observe(count, attributes);
  });
  return {
    count: (name, attributes) => {
      const known = counts.get(name);
      if (known === undefined) counts.set(name, { attributes, count: 1 });
      else known.count++;
    },
  };
}

function observeGateway(meter: Meter, gauges: GatewayGauges): void {
  const gauge = (name: string, description: string, read: () => number | undefined): void => {
    meter.createObservableGauge(name, { description }).addCallback((result: ObservableResult) => {
      const value = read();
      if (value !== undefined) result.observe(value);
    });
  };
  gauge("causeway_open_exchanges", "Exchanges of own agency systems under way.", () =>
    gauges.openExchanges(),
  );
  gauge("causeway_open_attempts", "Attempts of other gateways under way.", () =>
    gauges.openAttempts(),
  );
  gauge(
    "causeway_unacknowledged_receipts",
    "Receipts that were released and are not acknowledged.",
    () => gauges.unacknowledgedReceipts(),
  );
  gauge("causeway_links", "Links with other gateways.", () => gauges.links());
  gauge("causeway_included_size", "Leaves of the ledger that are applied here.", () =>
    gauges.includedSize(),
  );
  gauge("causeway_final_size", "Leaves under the newest final checkpoint.", () =>
    gauges.finalSize(),
  );
  gauge("causeway_final_age_seconds", "Age of the newest final checkpoint.", () =>
    gauges.finalAgeSeconds(),
  );
  gauge("causeway_journal_not_final", "Own batches that are not final yet.", () =>
    gauges.journalNotFinal(),
  );
  gauge("causeway_ready", "1 while the gateway takes calls, else 0.", () =>
    gauges.isReady() ? 1 : 0,
  );
}

function observeProcess(meter: Meter, loopDelayMs: () => number): void {
  meter
    .createObservableGauge("causeway_process_memory_bytes", {
      description: "Memory of the process: resident, and of the JavaScript heap.",
    })
    .addCallback((result) => {
      const { rss, heapUsed } = process.memoryUsage();
      result.observe(rss, { kind: "resident" });
      result.observe(heapUsed, { kind: "heap" });
    });
  meter
    .createObservableGauge("causeway_event_loop_delay_ms", {
      description: "99th percentile of the event loop's delay since the last reading.",
    })
    .addCallback((result) => result.observe(loopDelayMs()));
}
