/** An OpenTelemetry collector for OTLP over HTTP: it keeps the spans that it is sent. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 2 is a server, 3 a client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Collector {
  readonly endpoint: string;
  readonly spans: readonly CollectedSpan[];
  /** Headers and raw bodies of all requests. */
  readonly requests: readonly {
    readonly path: string;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly body: Buffer;
  }[];
  close(): Promise<void>;
}

type Field = readonly [number: number, value: Uint8Array | string];

/** The fields of a message: bytes of length-delimited ones, numbers as text. */
function fieldsOf(bytes: Uint8Array): Field[] {
  const reader = new BinaryReader(bytes);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) fields.push([number, reader.bytes()]);
    else if (type === WireType.Varint) fields.push([number, String(reader.uint64())]);
    else reader.skip(type, number);
  }
  return fields;
}

const partsOf = (bytes: Uint8Array, number: number): Uint8Array[] =>
  fieldsOf(bytes).flatMap(([n, value]) =>
    n === number && typeof value !== "string" ? [value] : [],
  );

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

function attributeOf(bytes: Uint8Array): [string, string] {
  const [value] = partsOf(bytes, 2);
  const [field] = fieldsOf(value ?? new Uint8Array());
  const text = typeof field?.[1] === "string" ? field[1] : textOf(field?.[1]);
  return [textOf(partsOf(bytes, 1)[0]), text];
}

// opentelemetry-proto, trace/v1: Span.
function spanOf(bytes: Uint8Array): CollectedSpan {
  const hex = (number: number): string =>
    Buffer.from(partsOf(bytes, number)[0] ?? []).toString("hex");
  const kind = fieldsOf(bytes).find(([number]) => number === 6)?.[1];
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentSpanId: hex(4),
    name: textOf(partsOf(bytes, 5)[0]),
    kind: Number(kind),
    attributes: Object.fromEntries(partsOf(bytes, 9).map(attributeOf)),
  };
}

export async function startCollector(): Promise<Collector> {
  const requests: { path: string; headers: Record<string, unknown>; body: Buffer }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { headers, url = "" } = request;
      requests.push({ path: url, headers, body: Buffer.concat(chunks) });
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get spans() {
      return requests
        .filter(({ path }) => path === "/v1/traces")
        .flatMap(({ body }) => partsOf(body, 1))
        .flatMap((resourceSpans) => partsOf(resourceSpans, 2))
        .flatMap((scopeSpans) => partsOf(scopeSpans, 2))
        .map(spanOf);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
