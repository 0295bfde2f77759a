/** What the consumer's gateway tells of an exchange while it runs: its spans, its segments and its end. */
import { formatUuid } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { MetadataSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { ExchangeOptions } from "./consumer-attempt.ts";
import type { ExchangeSpan, SpanStart } from "./events.ts";
import { traceparentOf } from "./trace-context.ts";

export class ExchangeTrace {
  readonly #o: ExchangeOptions;
  readonly #startedMs: number;
  readonly #call: Omit<SpanStart, "kind" | "parent">;
  readonly #exchange: ExchangeSpan;
  /** The caller's own context, where the gateway records no span. */
  readonly #parent: string | undefined;
  #attempt: ExchangeSpan | undefined;
  #segments = 0;
  #messageBytes: number;

  constructor(options: ExchangeOptions, xid: Uint8Array) {
    const { ports, resolved } = options;
    this.#o = options;
    this.#startedMs = ports.clock.monotonicMs();
    this.#messageBytes = options.message?.length ?? 0;
    this.#parent = traceparentOf(decodeMessage(MetadataSchema, options.headers));
    this.#call = {
      service: resolved.service.id,
      method: resolved.method.path,
      purpose: resolved.purpose,
      grant: resolved.grant.jti,
      xid: formatUuid(xid),
    };
    this.#exchange = ports.events.startSpan({
      kind: "exchange",
      parent: this.#parent,
      ...this.#call,
    });
  }

  /** Milliseconds since the call came. */
  get elapsedMs(): number {
    return this.#o.ports.clock.monotonicMs() - this.#startedMs;
  }

  /** An attempt begins; the context that goes with its call. */
  attempt(attempt: number, peer: string): string {
    const parent = this.#exchange.trace ?? this.#parent;
    const start: SpanStart = { kind: "attempt", parent, ...this.#call, attempt, peer };
    this.#attempt = this.#o.ports.events.startSpan(start);
    return this.#attempt.trace ?? parent ?? "";
  }

  /** A segment of the answer is acknowledged, durably. */
  sealed(messages: readonly Uint8Array[], final: boolean): void {
    this.#segments += 1;
    for (const { length } of messages) this.#messageBytes += length;
    this.#attempt?.sealed(this.#segments);
    this.#o.ports.events.segmentSealed({ side: "consumer", messages: messages.length, final });
  }

  attemptEnded(outcome: string, grpcCode: number, reason?: ReasonCode): void {
    this.#attempt?.end({ outcome, grpcCode, reason, segments: this.#segments });
    this.#attempt = undefined;
  }

  /** The caller has its status. */
  ended(outcome: string, grpcCode: number): void {
    const { events } = this.#o.ports;
    const { service } = this.#call;
    const segments = this.#segments;
    const messageBytes = this.#messageBytes;
    this.attemptEnded(outcome, grpcCode);
    this.#exchange.end({ outcome, grpcCode, segments, messageBytes });
    const durationMs = this.elapsedMs;
    events.exchangeEnded({
      side: "consumer",
      outcome,
      grpcCode,
      durationMs,
      service,
      segments,
      messageBytes,
    });
  }
}
