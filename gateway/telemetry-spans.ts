/** Parts of an exchange as OpenTelemetry spans. Their attributes are those of `SpanStart` and `SpanEnd`, and no others. */
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  SpanKind as OtelSpanKind,
  type Span,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { ExchangeSpan, SpanEnd, SpanKind, SpanStart } from "../src/exchange/events.ts";
import { isTraceparent } from "../src/exchange/trace-context.ts";

/** Of what is not recorded. */
export const unrecordedSpan: ExchangeSpan = {
  trace: undefined,
  sealed: () => undefined,
  end: () => undefined,
};

const kinds: Readonly<Record<SpanKind, OtelSpanKind>> = {
  exchange: OtelSpanKind.SERVER,
  attempt: OtelSpanKind.CLIENT,
  serve: OtelSpanKind.SERVER,
  upstream: OtelSpanKind.CLIENT,
};

/** Codes that are a server's own failure: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const serverFailures: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

export function startSpan(tracer: Tracer, start: SpanStart): ExchangeSpan {
  const kind = kinds[start.kind];
  const attributes = startAttributes(start);
  const name = start.method.replace(/^\//, "");
  const span = tracer.startSpan(name, { kind, attributes }, parentContext(start.parent));
  if (!span.isRecording()) return unrecordedSpan;
  return new RecordedSpan(span, kind);
}

class RecordedSpan implements ExchangeSpan {
  readonly trace: string;
  readonly #span: Span;
  readonly #kind: OtelSpanKind;

  constructor(span: Span, kind: OtelSpanKind) {
    const { traceId, spanId } = span.spanContext();
    this.trace = `00-${traceId}-${spanId}-01`;
    this.#span = span;
    this.#kind = kind;
  }

  sealed(segment: number): void {
    if (this.#span.isRecording()) this.#span.addEvent("sealed", { "causeway.segment": segment });
  }

  end(end: SpanEnd): void {
    if (!this.#span.isRecording()) return;
    const { grpcCode, outcome, reason, segments, messageBytes } = end;
    this.#span.setAttributes({
      "rpc.grpc.status_code": grpcCode,
      "causeway.outcome": outcome,
      ...(reason === undefined ? {} : { "causeway.reason": reason }),
      ...(segments === undefined ? {} : { "causeway.segments": segments }),
      ...(messageBytes === undefined
        ? {}
        : { "causeway.message_bytes_bits": bitLength(messageBytes) }),
    });
    const isFailure =
      this.#kind === OtelSpanKind.CLIENT ? grpcCode !== 0 : serverFailures.has(grpcCode);
    if (isFailure) {
      const message = reason === undefined ? {} : { message: reason };
      this.#span.setStatus({ code: SpanStatusCode.ERROR, ...message });
    }
    this.#span.end();
  }
}

/** Of a number of bytes: no exact size leaves the gateway. */
export function bitLength(bytes: number): number {
  return bytes <= 0 ? 0 : Math.floor(Math.log2(bytes)) + 1;
}

function startAttributes(start: SpanStart): Attributes {
  const [, service = "", method = ""] = start.method.split("/");
  const { grant, attempt, peer } = start;
  return {
    "rpc.system": "grpc",
    "rpc.service": service,
    "rpc.method": method,
    "causeway.part": start.kind,
    "causeway.service": start.service,
    "causeway.purpose": start.purpose,
    "causeway.xid": start.xid,
    ...(grant === undefined ? {} : { "causeway.grant": grant }),
    ...(attempt === undefined ? {} : { "causeway.attempt": attempt }),
    ...(peer === undefined ? {} : { "causeway.peer": peer }),
  };
}

/** The context of a `traceparent`, whose flags say whether it is sampled; a new trace without one. */
function parentContext(parent: string | undefined): Context {
  if (parent === undefined || !isTraceparent(parent)) return ROOT_CONTEXT;
  const [, traceId = "", spanId = "", flags = ""] = parent.split("-");
  const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}
