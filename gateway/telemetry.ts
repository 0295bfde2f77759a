/** One function for each business event: a low-cardinality metric, a span where one is recorded, a log record. It never fails a call. */
import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { createNoopMeter, type Tracer } from "@opentelemetry/api";
import type { Logger } from "pino";
import type { Clock } from "../src/base/clock.ts";
import { CausewayError } from "../src/base/errors.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type {
  CallRefused,
  ExchangeEnded,
  ExchangeEvents,
  ExchangeSpan,
  SegmentSealed,
  SpanStart,
} from "../src/exchange/events.ts";
import type { Sealer } from "../src/ledger/ports.ts";
import { type TelemetryConfig, telemetryDefaults } from "./telemetry-config.ts";
import {
  createGatewayMetrics,
  type GatewayGauges,
  type GatewayMetrics,
} from "./telemetry-metrics.ts";
import type { TelemetrySdk } from "./telemetry-sdk.ts";
import { startSpan, unrecordedSpan } from "./telemetry-spans.ts";

export class Telemetry implements ExchangeEvents {
  readonly #logger: Logger;
  readonly #sdk: TelemetrySdk | undefined;
  readonly #metrics: GatewayMetrics;
  readonly #tracer: Tracer | undefined;

  /** Without an SDK nothing is measured, and the log alone is written. */
  constructor(logger: Logger, sdk?: TelemetrySdk) {
    this.#logger = logger;
    this.#sdk = sdk;
    this.#metrics = createGatewayMetrics(sdk?.meter ?? createNoopMeter());
    this.#tracer = sdk?.tracer;
  }

  exchangeEnded(event: ExchangeEnded): void {
    this.#metrics.exchangeEnded(event);
    if (!this.#logger.isLevelEnabled("debug")) return;
    const { side, outcome, grpcCode, durationMs, service, segments } = event;
    const told = { side, outcome, grpcCode, durationMs, service, segments };
    this.#logger.debug({ event: "exchange ended", ...told }, "exchange ended");
  }

  refused({ side, reason }: CallRefused): void {
    this.#metrics.refused(side, reason);
    this.#logger.info({ event: "call refused", side, reason }, "call refused");
  }

  /** A call of the agency listener whose caller is not known: no record is made of it. */
  unauthenticated(reason: ReasonCode): void {
    this.#metrics.unauthenticated(reason);
    this.#logger.debug({ event: "caller unknown", reason }, "caller unknown");
  }

  segmentSealed({ side }: SegmentSealed): void {
    this.#metrics.segment(side);
  }

  startSpan(start: SpanStart): ExchangeSpan {
    return this.#tracer === undefined ? unrecordedSpan : startSpan(this.#tracer, start);
  }

  internalError({ error, errorId }: Parameters<ExchangeEvents["internalError"]>[0]): void {
    this.#metrics.internalError();
    const code = error instanceof CausewayError ? error.code : undefined;
    this.#logger.error({ event: "internal error", errorId, code, err: error }, "internal error");
  }

  /** The same sealer, measured. */
  measured(sealer: Sealer, clock: Clock): Sealer {
    if (this.#sdk === undefined) return sealer;
    const metrics = this.#metrics;
    // Results of one batch come one after the other, in its order.
    let leaf: Uint8Array | undefined;
    let records = 0;
    return {
      seal: async (record) => {
        const queuedMs = clock.monotonicMs();
        const sealed = await sealer.seal(record);
        metrics.recordSealed(clock.monotonicMs() - queuedMs);
        if (sealed === undefined) return sealed;
        if (sealed.leaf !== leaf && records > 0) {
          metrics.batchSealed(records);
          records = 0;
        }
        leaf = sealed.leaf;
        records++;
        return sealed;
      },
    };
  }

  /** What is shown of the gateway's state. At most once. */
  observe(gauges: GatewayGauges): void {
    if (this.#sdk !== undefined) this.#metrics.observe(gauges);
  }

  /** The Prometheus text format; `undefined` when it is not configured. */
  metricsPage(): Promise<string> | undefined {
    return this.#sdk?.metricsPage?.();
  }

  async close(): Promise<void> {
    this.#metrics.close();
    await this.#sdk?.close();
  }
}

/** Answers `/metrics`: 404 where they are not configured. */
export async function serveMetrics(telemetry: Telemetry, response: ServerResponse): Promise<void> {
  try {
    const body = await telemetry.metricsPage();
    const type = "text/plain; version=0.0.4; charset=utf-8";
    if (body !== undefined) response.writeHead(200, { "content-type": type }).end(body);
    else response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
  } catch (error) {
    telemetry.internalError({ error, errorId: randomUUID() });
    response.writeHead(500, { "content-type": "text/plain" }).end("the log says why\n");
  }
}

/** Loads the SDK when the configuration asks for metrics or traces, and nothing of it otherwise. */
export async function createTelemetry(options: {
  readonly config: TelemetryConfig | undefined;
  readonly gateway: string;
  readonly version: string;
  readonly logger: Logger;
}): Promise<Telemetry> {
  const { config = telemetryDefaults, logger } = options;
  if (!config.prometheus && config.otlp === undefined) return new Telemetry(logger);
  const { createTelemetrySdk } = await import("./telemetry-sdk.ts");
  return new Telemetry(logger, createTelemetrySdk({ ...options, config }));
}
