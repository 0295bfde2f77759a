/**
 * What both sides of an exchange tell the process around them, one function for each business event. An
 * event never fails and never holds a call up. None of them carries payload, metadata, a case, an official
 * or a status text: only names that stand on the ledger, codes, counts and durations.
 */
import type { ReasonCode } from "../base/reasons.ts";

export type ExchangeSideName = "consumer" | "provider";

/** The end of an exchange at the consumer, of an attempt at the provider. */
export interface ExchangeEnded {
  readonly side: ExchangeSideName;
  /** `acknowledged` or `receipted`, the outcome of a closing, or the reason of a refusal. */
  readonly outcome: string;
  readonly grpcCode: number;
  readonly durationMs: number;
  /** Data service id, once it is known. */
  readonly service?: string | undefined;
  /** Segments that were receipted or acknowledged. */
  readonly segments?: number | undefined;
  /** Bytes of all messages, both directions. Shown in powers of two only. */
  readonly messageBytes?: number | undefined;
}

/** A call or an attempt that is denied, single or as part of an aggregate. */
export interface CallRefused {
  readonly side: ExchangeSideName;
  readonly reason: string;
}

/** A receipt or an acknowledgement that is durable. */
export interface SegmentSealed {
  readonly side: ExchangeSideName;
  readonly messages: number;
  readonly final: boolean;
}

/**
 * - `exchange`: the consumer gateway's part, from the caller's headers to the status for the caller;
 * - `attempt`: one try of it, from the signed statement to the closing of the attempt;
 * - `serve`: the provider gateway's part, from the verified statement to the closing of the attempt;
 * - `upstream`: the call of the data service.
 */
export type SpanKind = "exchange" | "attempt" | "serve" | "upstream";

/** All of it stands on the ledger, or is a random number. */
export interface SpanStart {
  readonly kind: SpanKind;
  /** `traceparent` of what this is a part of: the caller's, the one in the call frame, or a span's. */
  readonly parent: string | undefined;
  /** Data service id. */
  readonly service: string;
  /** Method path, which the catalogue holds. */
  readonly method: string;
  readonly purpose: string;
  /** `jti` of the grant; unknown to an attempt that is not decided yet. */
  readonly grant?: string | undefined;
  /** The exchange id as a UUID. */
  readonly xid: string;
  /** From 1. */
  readonly attempt?: number | undefined;
  /** Gateway id of the other side. */
  readonly peer?: string | undefined;
}

export interface SpanEnd {
  readonly outcome: string;
  readonly grpcCode: number;
  readonly reason?: ReasonCode | undefined;
  readonly segments?: number | undefined;
  readonly messageBytes?: number | undefined;
}

/** A part of a trace that is under way. */
export interface ExchangeSpan {
  /**
   * Its own `traceparent`, for what it calls. `undefined` while nothing is recorded: then the context goes
   * on as it came.
   */
  readonly trace: string | undefined;
  /** Marks a durable segment. */
  sealed(segment: number): void;
  /** Ends it. A second call does nothing. */
  end(end: SpanEnd): void;
}

export interface ExchangeEvents {
  exchangeEnded(event: ExchangeEnded): void;
  refused(event: CallRefused): void;
  segmentSealed(event: SegmentSealed): void;
  internalError(event: { readonly error: unknown; readonly errorId: string }): void;
  startSpan(start: SpanStart): ExchangeSpan;
}
