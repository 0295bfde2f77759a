/** What the provider's gateway tells of an attempt while it runs: its spans, its segments and its end. */
import { formatUuid } from "../base/ids.ts";
import type { ExchangeSpan, SpanStart } from "./events.ts";
import { isTraceparent } from "./trace-context.ts";
import type { Judged } from "./provider-judge.ts";
import type { AttemptOptions } from "./provider-ports.ts";

export class AttemptTrace {
  readonly #o: AttemptOptions;
  readonly #startedMs: number;
  #call: Omit<SpanStart, "kind" | "parent"> | undefined;
  #serve: ExchangeSpan | undefined;
  #upstream: ExchangeSpan | undefined;
  #segments = 0;
  #messageBytes = 0;

  constructor(options: AttemptOptions) {
    this.#o = options;
    this.#startedMs = options.ports.clock.monotonicMs();
  }

  /** Milliseconds since the call came. */
  get elapsedMs(): number {
    return this.#o.ports.clock.monotonicMs() - this.#startedMs;
  }

  /** The call is judged: what it says may be told. */
  permitted({ statement, decision, service }: Judged): void {
    if (statement === undefined || service === undefined) return;
    const { carriage, frame, ports } = this.#o;
    this.#messageBytes += frame.message.length;
    this.#call = {
      service: service.id,
      method: statement.method,
      purpose: statement.purpose,
      grant: decision?.grantJti,
      xid: formatUuid(statement.xid),
      attempt: statement.attempt,
      peer: carriage.link.peer,
    };
    const parent = isTraceparent(frame.trace) ? frame.trace : undefined;
    this.#serve = ports.events.startSpan({ kind: "serve", parent, ...this.#call });
  }

  /** The upstream is called; the context that goes with it, where one is recorded. */
  upstream(): string | undefined {
    if (this.#call === undefined) return undefined;
    const parent = this.#serve?.trace;
    const start: SpanStart = { kind: "upstream", parent, ...this.#call };
    this.#upstream = this.#o.ports.events.startSpan(start);
    return this.#upstream.trace;
  }

  /** A receipt is durable. */
  sealed(messages: readonly Uint8Array[], final: boolean): void {
    this.#segments += 1;
    for (const { length } of messages) this.#messageBytes += length;
    this.#serve?.sealed(this.#segments);
    this.#o.ports.events.segmentSealed({ side: "provider", messages: messages.length, final });
  }

  ended(outcome: string, grpcCode: number): void {
    const { events } = this.#o.ports;
    const segments = this.#segments;
    const messageBytes = this.#messageBytes;
    this.#upstream?.end({ outcome, grpcCode });
    this.#serve?.end({ outcome, grpcCode, segments, messageBytes });
    events.exchangeEnded({
      side: "provider",
      outcome,
      grpcCode,
      durationMs: this.elapsedMs,
      service: this.#call?.service,
      segments,
      messageBytes,
    });
  }
}
