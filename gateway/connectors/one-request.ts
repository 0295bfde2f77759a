/** Streaming calls of connectors that take one request message: it is awaited, and what answers it is paced. */
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { timerMsMax } from "../../src/base/limits.ts";
import type {
  UpstreamListener,
  UpstreamStream,
  UpstreamStreamCall,
} from "../../src/exchange/transport/ports.ts";
import { plainStatus } from "../../src/exchange/transport/trailers.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

/** Where the answer of a call goes. */
export interface AnswerSink {
  headers(headers: Metadata): void;
  /** Resolves once the message has been taken. Rejects when the call has ended. */
  message(message: Uint8Array): Promise<void>;
}

/** Answers the one request of a call. Rejects with what the call fails with. */
export type AnswerCall = (
  request: Uint8Array,
  sink: AnswerSink,
  /** Aborted with the reason of the call's end, its deadline included. */
  signal: AbortSignal,
) => Promise<StatusFrame>;

/** A call whose answer `answer` gives. What is wrong is told in a later turn of the event loop. */
export function openOneRequest(
  call: UpstreamStreamCall,
  listener: UpstreamListener,
  scheduler: Scheduler,
  answer: AnswerCall,
): UpstreamStream {
  return new OneRequestCall(call, listener, scheduler, answer);
}

/** A call that fails whatever it is sent. */
export function openFailed(listener: UpstreamListener, error: CausewayError): UpstreamStream {
  setImmediate(() => listener.onFailed(error));
  return { write: async () => undefined, halfClose: () => undefined, take: () => undefined };
}

class OneRequestCall implements UpstreamStream {
  readonly #listener: UpstreamListener;
  readonly #answer: AnswerCall;
  readonly #ending = new AbortController();
  readonly #stopListening: () => void;
  #request: Uint8Array | undefined;
  #requests = 0;
  #isClosed = false;
  #isTaking = true;
  #taken: (() => void) | undefined;
  #hasEnded = false;

  constructor(
    call: UpstreamStreamCall,
    listener: UpstreamListener,
    scheduler: Scheduler,
    answer: AnswerCall,
  ) {
    this.#listener = listener;
    this.#answer = answer;
    const { signal, timeoutMs } = call;
    const abort = (): void => this.#fail(reasonOf(signal));
    const cancel =
      timeoutMs === undefined
        ? () => undefined
        : scheduler.after(Math.min(timeoutMs, timerMsMax), () => this.#fail(deadline()));
    signal.addEventListener("abort", abort, { once: true });
    this.#stopListening = () => {
      signal.removeEventListener("abort", abort);
      cancel();
    };
    if (signal.aborted) setImmediate(abort);
  }

  async write(message: Uint8Array): Promise<void> {
    if (this.#isClosed || this.#hasEnded) return;
    this.#requests += 1;
    this.#request = message;
  }

  halfClose(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    setImmediate(() => void this.#run());
  }

  take(taking: boolean): void {
    this.#isTaking = taking;
    if (taking) this.#release();
  }

  async #run(): Promise<void> {
    if (this.#hasEnded) return;
    const request = this.#request;
    if (request === undefined || this.#requests > 1) {
      return this.#end(plainStatus(12, `the method takes one message, not ${this.#requests}`));
    }
    const sink: AnswerSink = {
      headers: (headers) => {
        if (!this.#hasEnded) this.#listener.onHeaders(headers);
      },
      message: (message) => this.#deliver(message),
    };
    try {
      this.#end(await this.#answer(request, sink, this.#ending.signal));
    } catch (error) {
      this.#fail(
        error instanceof CausewayError
          ? error
          : new CausewayError("UPSTREAM_UNAVAILABLE", "the call failed", { cause: error }),
      );
    }
  }

  async #deliver(message: Uint8Array): Promise<void> {
    while (!this.#isTaking && !this.#hasEnded) {
      await new Promise<void>((resolve) => {
        this.#taken = resolve;
      });
    }
    this.#ending.signal.throwIfAborted();
    this.#listener.onMessage(message);
  }

  #release(): void {
    this.#taken?.();
    this.#taken = undefined;
  }

  #end(status: StatusFrame): void {
    if (this.#settle()) this.#listener.onEnd(status);
  }

  #fail(error: CausewayError): void {
    if (!this.#settle()) return;
    this.#ending.abort(error);
    this.#release();
    this.#listener.onFailed(error);
  }

  #settle(): boolean {
    if (this.#hasEnded) return false;
    this.#hasEnded = true;
    this.#stopListening();
    return true;
  }
}

function reasonOf(signal: AbortSignal): CausewayError {
  const reason: unknown = signal.reason;
  const code = reason instanceof CausewayError ? reason.code : "CANCELLED";
  return new CausewayError(code, "the call of the data service was ended");
}

function deadline(): CausewayError {
  return new CausewayError("DEADLINE", "the deadline of the call has passed");
}
