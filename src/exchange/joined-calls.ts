/**
 * Calls of the upstream that share an idempotency key: one that comes while another of the same consumer
 * agency, grant, method and key is in flight gets that one's answer. Outcomes are not stored: what comes
 * after the end is a call of its own, which the upstream tells apart by the key that it is given.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { UnaryAnswer } from "./transport/ports.ts";

export interface JoinedCall {
  readonly agency: string;
  readonly grantJti: string;
  readonly method: string;
  readonly key: Uint8Array;
  /** Of the request, as `joinedHeaders` gives them: an upstream may answer by them. */
  readonly headers: Uint8Array;
  readonly message: Uint8Array;
  /**
   * Calls the upstream. Its signal ends the call once nobody waits for it any more; that of the caller does not,
   * as long as another waits.
   */
  readonly start: (signal: AbortSignal) => Promise<UnaryAnswer>;
  /** Ends the wait of this caller alone. */
  readonly signal: AbortSignal;
}

interface InFlight {
  readonly headers: Uint8Array;
  readonly message: Uint8Array;
  readonly answer: Promise<UnaryAnswer>;
  readonly end: AbortController;
  waiting: number;
}

export class JoinedCalls {
  readonly #inFlight = new Map<string, InFlight>();

  /** Calls that are in flight. */
  get count(): number {
    return this.#inFlight.size;
  }

  /**
   * Calls the upstream, or joins the call in flight. Rejects with IDEMPOTENCY_MISMATCH when that has other
   * bytes, with CANCELLED or the signal's own CausewayError when the caller's signal says so, and as
   * `start` does.
   */
  async call(call: JoinedCall): Promise<UnaryAnswer> {
    for (;;) {
      if (call.signal.aborted) throw reasonOf(call.signal);
      const name = [call.agency, call.grantJti, call.method, toHex(call.key)].join(" ");
      const running = this.#inFlight.get(name);
      if (running === undefined) return this.#wait(this.#start(name, call), call.signal);
      if (!isSameRequest(running, call)) {
        throw new CausewayError("IDEMPOTENCY_MISMATCH", "the call in flight has another request");
      }
      try {
        return await this.#wait(running, call.signal);
      } catch (error) {
        // The time of the caller that started it is not the time of this one.
        const isTheirs = error instanceof CausewayError && error.code === "DEADLINE";
        if (!isTheirs || call.signal.aborted) throw error;
      }
    }
  }

  #start(name: string, { headers, message, start }: JoinedCall): InFlight {
    const end = new AbortController();
    const forget = (): void => {
      if (this.#inFlight.get(name) === started) this.#inFlight.delete(name);
    };
    const answer = start(end.signal).finally(forget);
    const started: InFlight = { headers, message, answer, end, waiting: 0 };
    this.#inFlight.set(name, started);
    // What nobody waits for any more takes nobody in either.
    end.signal.addEventListener("abort", forget, { once: true });
    return started;
  }

  #wait(running: InFlight, signal: AbortSignal): Promise<UnaryAnswer> {
    running.waiting++;
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        // Without a reason each abort makes an exception, with its stack.
        if (--running.waiting === 0) running.end.abort("nobody waits");
        reject(reasonOf(signal));
      };
      signal.addEventListener("abort", leave, { once: true });
      running.answer
        .finally(() => signal.removeEventListener("abort", leave))
        .then(resolve, reject);
    });
  }
}

function isSameRequest(running: InFlight, { headers, message }: JoinedCall): boolean {
  return equalBytes(running.message, message) && equalBytes(running.headers, headers);
}

function reasonOf({ reason }: AbortSignal): CausewayError {
  return reason instanceof CausewayError
    ? reason
    : new CausewayError("CANCELLED", "the caller waits no longer");
}
