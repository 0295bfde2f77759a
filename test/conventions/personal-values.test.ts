/** What a gateway says of itself to those who operate it holds nothing of a person. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { credentials, Client, Metadata } from "@grpc/grpc-js";
import { pino } from "pino";
import { parse, stringify } from "yaml";
import { servedBytes, type Running, startTwoCities } from "../support/running.ts";
import { type Collector, startCollector } from "./collector.ts";

/** Each stands in one place of a call that people could be recognised by. */
const marked = {
  "request field": "330106-marker-request",
  case: "case-marker-westlake",
  official: "official-marker-zhang",
  "idempotency key": "idempotency-marker-7",
  "metadata entry": "metadata-marker-neighbour",
  "metadata key": "x-marker-key",
  "purpose that is not granted": "purpose-marker-curiosity",
  "method that does not exist": "MethodMarkerTellMeEverything",
  "authorization header": "Bearer marker-token",
  tracestate: "vendor=marker-state",
} as const;
const answerField = "西湖区";
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

describe("logs, metrics and spans of calls with marked personal values", () => {
  let running: Running;
  let collector: Collector;
  let closing: Promise<void> | undefined;
  const lines: string[] = [];
  const texts = new Map<string, Buffer>();

  before(async () => {
    collector = await startCollector();
    const { endpoint } = collector;
    const logger = pino({ level: "trace" }, { write: (line: string) => void lines.push(line) });
    const telemetry = { prometheus: true, otlp: { endpoint }, traces: { sample_ratio: 1 } };
    running = await startTwoCities({
      configure: ({ consumer, provider }) => {
        for (const { configFile } of [consumer, provider]) {
          const config = parse(readFileSync(configFile, "utf8")) as object;
          writeFileSync(configFile, stringify({ ...config, telemetry }));
        }
      },
      overrides: { provider: { logger }, consumer: { logger } },
    });
    const metadata = {
      "causeway-purpose": "address-check",
      "causeway-case": marked.case,
      "causeway-official": marked.official,
      "causeway-idempotency-key": marked["idempotency key"],
      "x-remark": marked["metadata entry"],
      [marked["metadata key"]]: "1",
      authorization: marked["authorization header"],
      traceparent,
      tracestate: marked.tracestate,
    };
    const { client } = running;
    const answers = [
      await client.getDivision("330106", { metadata }),
      await client.reportCorrection("330106", { metadata }),
      // The upstream answers NOT_FOUND with the code in its text.
      await client.getDivision(marked["request field"], { metadata }),
      await client.getDivision("330106", {
        metadata: { ...metadata, "causeway-purpose": marked["purpose that is not granted"] },
      }),
      await client.getDivision("330106", {
        metadata: { ...metadata, "causeway-case": marked.case.repeat(20) },
      }),
    ];
    assert.deepEqual(
      answers.map(({ code }) => code),
      [0, 0, 5, 7, 3],
    );
    assert.equal(await unknownMethod(metadata), 12);
    await running.settled();
    const { consumer, provider } = running.cities;
    for (const { addresses } of [consumer, provider]) {
      const page = await fetch(`http://${addresses.http}/metrics`);
      texts.set(`metrics of ${addresses.http}`, Buffer.from(await page.arrayBuffer()));
    }
    texts.set("ledger", Buffer.concat(await servedBytes(provider.addresses.http)));
    await closed();
    texts.set("log", Buffer.from(lines.join("")));
    texts.set("OTLP requests", Buffer.concat(collector.requests.map(({ body }) => body)));
  });

  after(async () => {
    await closed();
    await collector?.close();
  });

  // What is still held back is said when the gateways end.
  function closed(): Promise<void> {
    closing ??= running?.close() ?? Promise.resolve();
    return closing;
  }

  function unknownMethod(given: Readonly<Record<string, string>>): Promise<number> {
    const client = new Client(
      running.cities.consumer.addresses.agency,
      credentials.createInsecure(),
    );
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(given)) metadata.set(key, value);
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        `/causeway.demo.v1.DivisionService/${marked["method that does not exist"]}`,
        (value: Buffer) => value,
        (value: Buffer) => value,
        Buffer.from(marked["request field"]),
        metadata,
        (error) => {
          client.close();
          resolve(error?.code ?? 0);
        },
      );
    });
  }

  test("something was logged, measured and sent", () => {
    for (const [name, text] of texts) assert.ok(text.length > 100, name);
    assert.ok(lines.length > 10);
  });

  for (const [what, value] of [...Object.entries(marked), ["answer field", answerField]] as const) {
    test(`nowhere is a ${what}`, () => {
      for (const [name, text] of texts) {
        for (const encoding of ["utf8", "hex", "base64"] as const) {
          const disguised = Buffer.from(value).toString(encoding).replace(/=+$/, "").slice(0, -1);
          assert.equal(text.indexOf(disguised), -1, `${name}, ${encoding}`);
        }
      }
    });
  }

  test("the spans of a call through both gateways are one chain below the caller's", () => {
    const first = collector.spans.find(({ parentSpanId }) => parentSpanId === "00f067aa0ba902b7");
    assert.ok(first !== undefined);
    const chain = [first];
    for (;;) {
      const last = chain.at(-1);
      const next = collector.spans.find(({ parentSpanId }) => parentSpanId === last?.spanId);
      if (next === undefined) break;
      chain.push(next);
    }
    assert.deepEqual(
      chain.map(({ traceId, attributes }) => [traceId, attributes["causeway.part"]]),
      ["exchange", "attempt", "serve", "upstream"].map((part) => [traceparent.split("-")[1], part]),
    );
    assert.equal(new Set(chain.map(({ attributes }) => attributes["causeway.xid"])).size, 1);
  });

  test("every line of the log is JSON with a stable event name and the gateway's level", () => {
    for (const line of lines) {
      const { event, level, time } = JSON.parse(line) as Record<string, unknown>;
      assert.match(String(event), /^[a-z][a-z -]*$/, line);
      assert.equal(typeof level, "number");
      assert.equal(typeof time, "number");
    }
  });
});
