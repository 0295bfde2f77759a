/**
 * The OpenTelemetry SDK of one gateway: loaded only when the configuration asks for metrics or traces.
 * Nothing of it is global: several gateways may run in one process.
 */
import type { Meter, Tracer } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  type IMetricReader,
  MeterProvider,
  MetricReader,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import { CausewayError } from "../src/base/errors.ts";
import { readSecretFile } from "./config-secrets.ts";
import type { TelemetryConfig } from "./telemetry-config.ts";

export interface TelemetrySdk {
  readonly meter: Meter;
  /** `undefined` when no trace is recorded. */
  readonly tracer: Tracer | undefined;
  /** The Prometheus text format; `undefined` unless it is configured. */
  readonly metricsPage: (() => Promise<string>) | undefined;
  /** Sends what is left, for a few seconds at most. */
  close(): Promise<void>;
}

export interface TelemetrySdkOptions {
  readonly config: TelemetryConfig;
  readonly gateway: string;
  readonly version: string;
  /** Beside those of the configuration. */
  readonly spanProcessors?: readonly SpanProcessor[];
}

const metricsEveryMs = 60_000;
const exportTimeoutMs = 3_000;

/** Throws FILE_UNREADABLE, or CONFIG_INVALID for a headers file of another form. */
export function createTelemetrySdk(options: TelemetrySdkOptions): TelemetrySdk {
  const { config, gateway, version } = options;
  const { otlp } = config;
  const headers = otlp?.headers_file === undefined ? {} : readHeaders(otlp.headers_file);
  const exporterOf = (
    signal: string,
  ): { url: string; headers: Record<string, string>; timeoutMillis: number } => ({
    url: `${(otlp?.endpoint ?? "").replace(/\/$/, "")}/v1/${signal}`,
    headers,
    timeoutMillis: exportTimeoutMs,
  });
  const resource = resourceFromAttributes({
    "service.name": "causeway",
    "service.version": version,
    "service.instance.id": gateway,
  });

  const page = config.prometheus ? new PulledReader() : undefined;
  const readers: IMetricReader[] = page === undefined ? [] : [page];
  const processors: SpanProcessor[] = [...(options.spanProcessors ?? [])];
  if (otlp !== undefined) {
    readers.push(
      new PeriodicExportingMetricReader({
        exporter: new OTLPMetricExporter(exporterOf("metrics")),
        exportIntervalMillis: metricsEveryMs,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    );
    processors.push(new BatchSpanProcessor(new OTLPTraceExporter(exporterOf("traces"))));
  }
  const meters = new MeterProvider({ resource, readers });
  const isTracing = processors.length > 0 && config.traces.sample_ratio > 0;
  // By trace id, so that gateways of one ratio record the same traces, and nobody outside makes one record more.
  const ratio = new TraceIdRatioBasedSampler(config.traces.sample_ratio);
  const tracers = new BasicTracerProvider({
    resource,
    sampler: new ParentBasedSampler({ root: ratio, remoteParentSampled: ratio }),
    spanProcessors: isTracing ? processors : [],
  });
  return {
    meter: meters.getMeter("causeway", version),
    tracer: isTracing ? tracers.getTracer("causeway", version) : undefined,
    metricsPage: page === undefined ? undefined : () => page.format(),
    close: async () => {
      // A collector that is away holds up nobody who ends.
      await Promise.allSettled([tracers.shutdown(), meters.shutdown()]);
    },
  };
}

/** Collects when it is asked. */
class PulledReader extends MetricReader {
  readonly #serializer = new PrometheusSerializer(undefined, false, undefined, true, true);

  async format(): Promise<string> {
    const { resourceMetrics } = await this.collect();
    return this.#serializer.serialize(resourceMetrics);
  }

  protected override async onForceFlush(): Promise<void> {
    // Nothing is kept here.
  }

  protected override async onShutdown(): Promise<void> {
    // Nothing is kept here.
  }
}

function readHeaders(file: string): Record<string, string> {
  const lines = readSecretFile(file)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line, i) => {
      const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
      if (match !== null) return [match[1] as string, match[2] as string];
      throw new CausewayError("CONFIG_INVALID", `${file}:${i + 1}: a header is name: value`);
    }),
  );
}
