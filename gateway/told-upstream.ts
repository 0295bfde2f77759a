/** A connector that tells when its data service goes away, and when it answers again: once each, whatever is called meanwhile. */
import { CausewayError } from "../src/base/errors.ts";
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";

export interface UpstreamTold {
  /** @param cause code of the system's or the database's error, where there is one: its text may hold values. */
  away(what: string, cause: string | undefined): void;
  back(): void;
}

/** The same connector, with all that it can do. */
export function toldUpstream<C extends UpstreamConnector>(connector: C, told: UpstreamTold): C {
  let isAway = false;
  const answered = (): void => {
    if (!isAway) return;
    isAway = false;
    told.back();
  };
  const failed = (error: unknown): void => {
    if (isAway || !(error instanceof CausewayError)) return;
    if (error.code !== "UPSTREAM_UNAVAILABLE") return;
    isAway = true;
    told.away(error.message, causeCode(error));
  };
  return {
    ...connector,
    callUnary: async (call) => {
      try {
        const answer = await connector.callUnary(call);
        answered();
        return answer;
      } catch (error) {
        failed(error);
        throw error;
      }
    },
    open: (call, listener) =>
      connector.open(call, {
        onHeaders: (headers) => {
          answered();
          listener.onHeaders(headers);
        },
        onMessage: (message) => listener.onMessage(message),
        onEnd: (status) => {
          answered();
          listener.onEnd(status);
        },
        onFailed: (error) => {
          failed(error);
          listener.onFailed(error);
        },
      }),
  };
}

function causeCode({ cause }: CausewayError): string | undefined {
  if (!(cause instanceof Error) || !("code" in cause)) return undefined;
  return typeof cause.code === "string" ? cause.code : undefined;
}
