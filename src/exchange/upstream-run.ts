/** One call of an upstream, of any type, into the segments of its answer. */
import type { Clock } from "../base/clock.ts";
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { StatusFrame } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { CallFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import type { AnswerSegments } from "./answer-segments.ts";
import type { JoinedCall, JoinedCalls } from "./joined-calls.ts";
import type { OpenRequest } from "./open-request.ts";
import type { ConnectorKind } from "./provider-records.ts";
import type { SentValues } from "./received-call.ts";
import type {
  UnaryAnswer,
  UpstreamConnector,
  UpstreamListener,
  UpstreamStream,
} from "./transport/ports.ts";
import { plainStatus } from "./transport/trailers.ts";
import { withTraceparent } from "./trace-context.ts";
import { joinedHeaders, upstreamHeaders } from "./upstream-frames.ts";

export interface UpstreamRun {
  readonly kind: ConnectorKind;
  /** Milliseconds that the upstream took, so far or in all. */
  readonly elapsedMs: number;
  /** Whether messages of the upstream are taken. */
  take(taking: boolean): void;
}

export interface UpstreamRunOptions {
  readonly connector: UpstreamConnector;
  readonly clock: Clock;
  readonly call: {
    readonly statement: CallStatement;
    /** Agency id. */
    readonly consumer: string;
    readonly frame: CallFrame;
    readonly sent: SentValues | undefined;
  };
  /** W3C `traceparent` of the span that calls it; absent where none is recorded. */
  readonly trace: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly messageBytesMax: number;
  readonly signal: AbortSignal;
  /** Of an open call; a unary call's message is in its frame. */
  readonly request: OpenRequest | undefined;
  /** The method's answer is one message. */
  readonly oneAnswer: boolean;
  readonly into: AnswerSegments;
  /** Under an idempotency key: the call joins one in flight. */
  readonly joined:
    | {
        readonly calls: JoinedCalls;
        readonly name: Pick<JoinedCall, "agency" | "grantJti" | "method" | "key">;
      }
    | undefined;
  /** Headers or messages of a stream have come. */
  progressed(): void;
  /** The status has come: the answer is whole. */
  answered(): void;
  /** What came cannot be released. */
  unusable(reason: ReasonCode): void;
  failed(error: unknown): void;
}

/** Why an answer of the upstream, which has done its work, cannot be released. */
const unusable: ReadonlySet<ReasonCode> = new Set([
  "MESSAGE_TOO_LARGE",
  "METADATA_TOO_LARGE",
  "METADATA_INVALID",
  "IDEMPOTENCY_MISMATCH",
  "MASK_UNAPPLICABLE",
]);

/** Where a method answers with one message, it is an answer only with OK, and OK is only with a message. */
function oneAnswerFor(listener: UpstreamListener): UpstreamListener {
  let answer: Uint8Array | undefined;
  let isOver = false;
  const over = (found: string): void => {
    isOver = true;
    listener.onEnd(plainStatus(13, `the data service answered with ${found}`));
  };
  return {
    onHeaders: (headers) => listener.onHeaders(headers),
    onMessage: (message) => {
      if (answer !== undefined && !isOver) over("more than one message");
      answer = message;
    },
    onEnd: (status) => {
      if (isOver) return;
      if (status.code === 0 && answer === undefined) return over("no message");
      if (status.code === 0 && answer !== undefined) listener.onMessage(answer);
      listener.onEnd(status);
    },
    onFailed: (error) => {
      if (!isOver) listener.onFailed(error);
    },
  };
}

export function callOfUpstream(options: UpstreamRunOptions): UpstreamRun {
  const { connector, clock, request } = options;
  const startedMs = clock.monotonicMs();
  let endedMs: number | undefined;
  let ended = false;
  /** Takes in what has come; what cannot be released ends the call. */
  const take = (work: () => void): boolean => {
    if (ended) return false;
    try {
      work();
      return true;
    } catch (error) {
      ended = true;
      if (!(error instanceof CausewayError)) options.failed(error);
      else options.unusable(error.code);
      return false;
    }
  };
  const end = (status: StatusFrame): void => {
    endedMs = clock.monotonicMs();
    if (!take(() => options.into.end(status))) return;
    ended = true;
    options.answered();
  };
  const fail = (error: unknown): void => {
    if (ended) return;
    ended = true;
    if (error instanceof CausewayError && unusable.has(error.code)) options.unusable(error.code);
    else options.failed(error);
  };
  const stream = request === undefined ? callUnary() : callOpen(request);

  function callUnary(): undefined {
    const { path, headers, timeoutMs, signal } = common();
    const { message } = options.call.frame;
    const answerBytesMax = options.messageBytesMax;
    const whole = ({ headers: given, messages, status }: UnaryAnswer): void => {
      const isTaken = take(() => {
        options.into.addHeaders(given);
        for (const bytes of messages) options.into.addMessage(bytes);
      });
      if (isTaken) end(status);
    };
    const start = (signalOfAll: AbortSignal): Promise<UnaryAnswer> =>
      connector.callUnary({
        path,
        headers,
        message,
        timeoutMs,
        answerBytesMax,
        signal: signalOfAll,
      });
    const { joined } = options;
    const answer =
      joined === undefined
        ? start(signal)
        : joined.calls.call({
            ...joined.name,
            headers: joinedHeaders(headers),
            message,
            signal,
            start,
          });
    answer.then(whole, fail);
    return undefined;
  }

  function callOpen(open: OpenRequest): UpstreamStream | undefined {
    if (connector.open === undefined) {
      fail(new CausewayError("CALL_TYPE_UNSUPPORTED", "the upstream has unary methods only"));
      return undefined;
    }
    const { messageBytesMax } = options;
    const listener: UpstreamListener = {
      onHeaders: (headers) => {
        if (take(() => options.into.addHeaders(headers))) options.progressed();
      },
      onMessage: (message) => {
        if (take(() => options.into.addMessage(message))) options.progressed();
      },
      onEnd: end,
      onFailed: fail,
    };
    const opened = connector.open(
      { ...common(), messageBytesMax },
      options.oneAnswer ? oneAnswerFor(listener) : listener,
    );
    open.writeTo(opened);
    return opened;
  }

  function common(): Pick<
    Parameters<UpstreamConnector["callUnary"]>[0],
    "path" | "headers" | "timeoutMs" | "signal"
  > {
    const { statement, consumer, frame, sent } = options.call;
    const received = frame.headers;
    const facts = upstreamHeaders({ received, statement, consumer, sent: sent as SentValues });
    const headers = withTraceparent(facts, options.trace);
    const { timeoutMs, signal } = options;
    return { path: statement.method, headers, timeoutMs, signal };
  }

  return {
    kind: connector.kind,
    get elapsedMs() {
      return (endedMs ?? clock.monotonicMs()) - startedMs;
    },
    take: (taking) => stream?.take(taking),
  };
}
