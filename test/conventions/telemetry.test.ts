import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { pino } from "pino";
import { createTelemetry, type Telemetry } from "../../gateway/telemetry.ts";
import type { TelemetryConfig } from "../../gateway/telemetry-config.ts";
import type { SpanStart } from "../../src/exchange/events.ts";
import { type CollectedSpan, startCollector } from "./collector.ts";

const folder = mkdtempSync(join(tmpdir(), "causeway-telemetry-"));
after(() => rmSync(folder, { recursive: true }));

const open = (config?: Partial<TelemetryConfig>): Promise<Telemetry> =>
  createTelemetry({
    config: config && { prometheus: false, traces: { sample_ratio: 1 }, ...config },
    gateway: "hangzhou/civil-affairs/gw1",
    version: "0.0.0",
    logger: pino({ level: "silent" }),
  });

const call: Omit<SpanStart, "kind" | "parent"> = {
  service: "hangzhou/civil-affairs/divisions",
  method: "/causeway.demo.v1.DivisionService/GetDivision",
  purpose: "address-check",
  xid: "019a0000-0000-7000-8000-000000000001",
};
const callerTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const acknowledged = { outcome: "acknowledged", grpcCode: 0, segments: 1, messageBytes: 1000 };

/** One exchange through two gateways that both record. */
function exchange(consumer: Telemetry, provider: Telemetry, parent: string | undefined): void {
  const whole = consumer.startSpan({ kind: "exchange", parent, ...call });
  const attempt = consumer.startSpan({ kind: "attempt", parent: whole.trace, ...call, attempt: 1 });
  const serve = provider.startSpan({ kind: "serve", parent: attempt.trace, ...call, attempt: 1 });
  const upstream = provider.startSpan({ kind: "upstream", parent: serve.trace, ...call });
  upstream.end({ outcome: "answered", grpcCode: 0 });
  serve.sealed(0);
  serve.end({ ...acknowledged, outcome: "receipted" });
  attempt.end(acknowledged);
  whole.end(acknowledged);
}

describe("traces", () => {
  test("the four parts of an exchange are one chain below the caller's span", async () => {
    const collector = await startCollector();
    const headersFile = join(folder, "headers");
    writeFileSync(headersFile, "authorization: Bearer of-the-collector\n", { mode: 0o600 });
    const otlp = { endpoint: collector.endpoint, headers_file: headersFile };
    const [consumer, provider] = [await open({ otlp }), await open({ otlp })];
    exchange(consumer, provider, callerTrace);
    await consumer.close();
    await provider.close();
    const part = (name: string): CollectedSpan => {
      const span = collector.spans.find(({ attributes }) => attributes["causeway.part"] === name);
      assert.ok(span !== undefined, name);
      return span;
    };
    const chain = ["exchange", "attempt", "serve", "upstream"].map(part);
    assert.deepEqual(
      chain.map(({ kind }) => kind),
      [2, 3, 2, 3],
    );
    const parents = ["00f067aa0ba902b7", ...chain.map(({ spanId }) => spanId)];
    for (const [i, span] of chain.entries()) {
      assert.equal(span.traceId, "4bf92f3577b34da6a3ce929d0e0e4736");
      assert.equal(span.parentSpanId, parents[i]);
      assert.equal(span.name, "causeway.demo.v1.DivisionService/GetDivision");
    }
    assert.deepEqual(chain[0]?.attributes, {
      "rpc.system": "grpc",
      "rpc.service": "causeway.demo.v1.DivisionService",
      "rpc.method": "GetDivision",
      "rpc.grpc.status_code": "0",
      "causeway.part": "exchange",
      "causeway.service": call.service,
      "causeway.purpose": call.purpose,
      "causeway.xid": call.xid,
      "causeway.outcome": "acknowledged",
      "causeway.segments": "1",
      "causeway.message_bytes_bits": "10",
    });
    for (const { headers } of collector.requests) {
      assert.equal(headers["authorization"], "Bearer of-the-collector");
    }
    await collector.close();
  });

  test("a call without a context begins a trace, and one with a broken context too", async () => {
    const collector = await startCollector();
    const gateway = await open({ otlp: { endpoint: collector.endpoint } });
    for (const parent of [undefined, "00-00000000000000000000000000000000-00f067aa0ba902b7-01"]) {
      gateway.startSpan({ kind: "exchange", parent, ...call }).end(acknowledged);
    }
    await gateway.close();
    assert.equal(collector.spans.length, 2);
    for (const span of collector.spans) assert.equal(span.parentSpanId, "");
    await collector.close();
  });

  test("a context that its caller does not sample goes on as it came", async () => {
    const collector = await startCollector();
    const gateway = await open({ otlp: { endpoint: collector.endpoint } });
    const parent = callerTrace.replace(/01$/, "00");
    assert.equal(gateway.startSpan({ kind: "exchange", parent, ...call }).trace, undefined);
    await gateway.close();
    assert.equal(collector.spans.length, 0);
    await collector.close();
  });

  test("a peer that samples everything makes no gateway record more than its share", async () => {
    const gateway = await open({
      otlp: { endpoint: "http://127.0.0.1:9" },
      traces: { sample_ratio: 0.000001 },
    });
    const span = gateway.startSpan({ kind: "serve", parent: callerTrace, ...call });
    assert.equal(span.trace, undefined);
    await gateway.close();
  });

  test("without a collector nothing is recorded, and nothing is measured without metrics", async () => {
    const gateway = await open({});
    assert.equal(
      gateway.startSpan({ kind: "exchange", parent: undefined, ...call }).trace,
      undefined,
    );
    assert.equal(gateway.metricsPage(), undefined);
    await gateway.close();
  });

  test("a collector that is away holds up nobody who ends", async () => {
    const gateway = await open({ otlp: { endpoint: "http://127.0.0.1:9" } });
    exchange(gateway, gateway, undefined);
    await gateway.close();
  });

  test("a headers file of another form is refused with its line, one that others can read too", async () => {
    const file = join(folder, "broken");
    writeFileSync(file, "authorization: x\nno header\n", { mode: 0o600 });
    const otlp = { endpoint: "http://127.0.0.1:9", headers_file: file };
    await assert.rejects(open({ otlp }), { code: "CONFIG_INVALID", message: /:2: / });
    chmodSync(file, 0o644);
    await assert.rejects(open({ otlp }), { code: "FILE_UNREADABLE" });
  });
});

describe("metrics", () => {
  test("are named as they were, with counters by outcome and histograms", async () => {
    const gateway = await open({ prometheus: true });
    const ended = { side: "consumer", outcome: "acknowledged", grpcCode: 0 } as const;
    gateway.exchangeEnded({ ...ended, durationMs: 7, messageBytes: 1000 });
    gateway.exchangeEnded({ ...ended, durationMs: 70, messageBytes: 1000 });
    gateway.refused({ side: "provider", reason: "GRANT_MISSING" });
    gateway.unauthenticated("CALLER_UNKNOWN");
    gateway.segmentSealed({ side: "provider", messages: 1, final: true });
    gateway.internalError({ error: new Error("x"), errorId: "1" });
    gateway.observe({
      openExchanges: () => 3,
      openAttempts: () => 0,
      unacknowledgedReceipts: () => 2,
      links: () => 1,
      includedSize: () => 10,
      finalSize: () => 9,
      finalAgeSeconds: () => undefined,
      journalNotFinal: () => 4,
      isReady: () => true,
    });
    const page = (await gateway.metricsPage()) ?? "";
    for (const line of [
      'causeway_exchanges_total{side="consumer",outcome="acknowledged",grpc_code="0"} 2',
      'causeway_exchange_duration_ms_bucket{side="consumer",le="10"} 1',
      'causeway_exchange_duration_ms_count{side="consumer"} 2',
      'causeway_refusals_total{side="provider",reason="GRANT_MISSING"} 1',
      'causeway_unauthenticated_calls_total{reason="CALLER_UNKNOWN"} 1',
      'causeway_segments_total{side="provider"} 1',
      "causeway_internal_errors_total 1",
      "causeway_open_exchanges 3",
      "causeway_open_attempts 0",
      "causeway_unacknowledged_receipts 2",
      "causeway_links 1",
      "causeway_included_size 10",
      "causeway_final_size 9",
      "causeway_journal_not_final 4",
      "causeway_ready 1",
    ]) {
      assert.ok(page.split("\n").includes(line), `${line}\n${page}`);
    }
    assert.doesNotMatch(page, /^causeway_final_age_seconds /m);
    assert.match(page, /^causeway_process_memory_bytes\{kind="resident"\} \d+$/m);
    assert.match(page, /^causeway_event_loop_delay_ms \d/m);
    await gateway.close();
  });

  test("show no exact size of messages, in the sum neither", async () => {
    const gateway = await open({ prometheus: true });
    const ended = {
      side: "consumer",
      outcome: "acknowledged",
      grpcCode: 0,
      durationMs: 1,
    } as const;
    gateway.exchangeEnded({ ...ended, messageBytes: 1000 });
    const page = (await gateway.metricsPage()) ?? "";
    assert.match(page, /^causeway_exchange_message_bytes_sum\{side="consumer"\} 1024$/m);
    await gateway.close();
  });

  test("count the records of a batch by the leaf that sealed them", async () => {
    const gateway = await open({ prometheus: true });
    const leaves = [new Uint8Array(1), new Uint8Array(1)] as const;
    const order = [leaves[0], leaves[0], leaves[0], leaves[1]];
    const sealer = gateway.measured(
      {
        seal: async ({ record }) => ({
          record,
          replaced: false,
          position: 0,
          path: [],
          leaf: order.shift() as Uint8Array,
          leafHash: new Uint8Array(32),
        }),
      },
      { nowMs: () => 0, monotonicMs: () => 0 },
    );
    for (let i = 0; i < 4; i++) {
      await sealer.seal({
        kind: "evidence",
        record: new Uint8Array(),
        decidedAtMs: 0,
        states: [],
      });
    }
    const page = (await gateway.metricsPage()) ?? "";
    assert.match(page, /^causeway_batch_records_sum 3$/m);
    assert.match(page, /^causeway_seal_duration_ms_count 4$/m);
    await gateway.close();
  });
});
