/** What a configuration says about traces and metrics. */
import { z } from "zod";
import { described, flag, httpsUrl, secretFile } from "./config-atoms.ts";

export interface TelemetryConfig {
  /** Serves metrics at `/metrics` of the HTTP listener. */
  readonly prometheus: boolean;
  /** Sends traces and metrics to a collector. */
  readonly otlp?:
    | {
        /** Base URL: `/v1/traces` and `/v1/metrics` are appended. */
        readonly endpoint: string;
        /** Lines of `name: value` that go with each request. */
        readonly headers_file?: string | undefined;
      }
    | undefined;
  readonly traces: {
    /** Share of the traces that are recorded, 0 to 1. */
    readonly sample_ratio: number;
  };
}

export const telemetryDefaults: TelemetryConfig = {
  prometheus: true,
  traces: { sample_ratio: 1 },
};

export const telemetrySchema: z.ZodType<TelemetryConfig> = z.strictObject({
  prometheus: described(flag, {
    text: "Metrics are served at `/metrics` of the HTTP listener.",
  }).default(telemetryDefaults.prometheus),
  otlp: z
    .strictObject({
      endpoint: described(httpsUrl, {
        text: "Base URL of an OpenTelemetry collector (OTLP over HTTP, protobuf). Nothing is sent without it.",
      }),
      headers_file: described(secretFile, {
        text: "Lines of `name: value` that go with each request to the collector.",
      }).optional(),
    })
    .optional(),
  traces: z
    .strictObject({
      sample_ratio: described(z.number().min(0).max(1), {
        type: "number, 0 to 1",
        text: "Share of the traces that are recorded and sent to the collector.",
      }).default(telemetryDefaults.traces.sample_ratio),
    })
    .prefault({}),
}) as unknown as z.ZodType<TelemetryConfig>;
