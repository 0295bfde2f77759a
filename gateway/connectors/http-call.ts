/** One HTTP/1.1 request of a connector: bounded in time, ended by its signal, never redirected. */
import { type Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { connectMs, timerMsMax } from "../../src/base/limits.ts";

/** Where the requests of a connector go. */
export interface HttpOrigin {
  readonly secure: boolean;
  readonly host: string;
  readonly port: number;
  /** Without a slash at its end. */
  readonly basePath: string;
  readonly agent: HttpAgent;
  readonly scheduler: Scheduler;
}

export interface HttpCallOptions {
  readonly verb: string;
  /** Path and query below the base path, escaped. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer | undefined;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
}

/** A request that is under way, up to the last byte of its answer. */
export interface HttpCall {
  /** Resolves with the head of the answer. Rejects as `explain` says. */
  readonly response: Promise<IncomingMessage>;
  /** What a failure of the request or of its answer's body means for the call. */
  explain(error: unknown): CausewayError;
  /** The answer has been read whole: its connection serves the next call. */
  finish(): void;
  /** The answer is of no use: ends the connection. */
  abandon(): void;
}

const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD"]);

export function sendHttp(origin: HttpOrigin, options: HttpCallOptions): HttpCall {
  const { signal, timeoutMs } = options;
  let interrupted: CausewayError | undefined;
  let destroy = (): void => undefined;
  let isConnected = false;
  const interrupt = (error: CausewayError): void => {
    interrupted ??= error;
    destroy();
  };
  const abort = (): void => interrupt(abortError(signal));
  signal.addEventListener("abort", abort, { once: true });
  const timers = [
    timeoutMs === undefined
      ? () => undefined
      : origin.scheduler.after(Math.min(timeoutMs, timerMsMax), () =>
          interrupt(new CausewayError("DEADLINE", "the deadline of the call has passed")),
        ),
  ];
  const explain = (error: unknown): CausewayError => interrupted ?? explained(error, isConnected);

  function attempt(isFirst: boolean): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const send = origin.secure ? requestHttps : requestHttp;
      const request = send({
        agent: origin.agent,
        host: origin.host,
        port: origin.port,
        method: options.verb,
        path: `${origin.basePath}${options.target}`,
        headers: options.headers,
      });
      destroy = () => request.destroy();
      const stopConnecting = origin.scheduler.after(connectMs, () =>
        request.destroy(new Error("no connection within its time")),
      );
      timers.push(stopConnecting);
      const connected = (): void => {
        isConnected = true;
        stopConnecting();
      };
      request.once("socket", (socket) => {
        if (request.reusedSocket) return connected();
        socket.once(origin.secure ? "secureConnect" : "connect", connected);
      });
      request.once("response", resolve);
      request.on("error", (error: NodeJS.ErrnoException) => {
        stopConnecting();
        // The service closed an idle connection as the request was written to it.
        const isLate = request.reusedSocket && error.code === "ECONNRESET";
        if (isFirst && isLate && idempotent.has(options.verb) && interrupted === undefined) {
          attempt(false).then(resolve, reject);
        } else reject(explain(error));
      });
      request.end(options.body);
    });
  }

  const finish = (): void => {
    signal.removeEventListener("abort", abort);
    for (const cancel of timers) cancel();
  };

  if (signal.aborted) abort();
  return {
    response: interrupted === undefined ? attempt(true) : Promise.reject(interrupted),
    explain,
    finish,
    abandon: () => {
      finish();
      destroy();
    },
  };
}

function abortError(signal: AbortSignal): CausewayError {
  const reason: unknown = signal.reason;
  const code = reason instanceof CausewayError ? reason.code : "CANCELLED";
  return new CausewayError(code, "the call of the data service was ended");
}

function explained(error: unknown, isConnected: boolean): CausewayError {
  if (error instanceof CausewayError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "HPE_HEADER_OVERFLOW") {
    return new CausewayError("METADATA_TOO_LARGE", "the head of the answer is too large", {
      cause: error,
    });
  }
  if (code?.startsWith("HPE_") === true) {
    return new CausewayError("PROTOCOL_ERROR", "the answer is no HTTP", { cause: error });
  }
  const sent = isConnected ? "yes" : "no";
  const message = isConnected ? "the connection broke during the call" : "there is no connection";
  return new CausewayError("UPSTREAM_UNAVAILABLE", message, { cause: error, fields: { sent } });
}
