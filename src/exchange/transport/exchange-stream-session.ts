/** What the connections below exchange streams have in common at both ends. */
import type { Http2Session, SessionOptions } from "node:http2";
import type { Scheduler } from "../../base/clock.ts";
import {
  exchangePartialBytesMax,
  exchangeSessionWindowBytes,
  exchangeStreamsMax,
  exchangeStreamWindowBytes,
  http2SessionMemoryMegabytes,
  keepaliveMs,
  keepaliveTimeoutMs,
} from "../../base/limits.ts";
import type { PartialBudget } from "./exchange-stream.ts";

/**
 * The TLS server name of these connections: the listener for peers tells them by it from those of the
 * other services, which any other name, or none, reaches.
 */
export const exchangeServerName: string = "exchange.causeway.internal";

export const exchangeSessionOptions: SessionOptions = {
  maxSessionMemory: http2SessionMemoryMegabytes,
  settings: {
    initialWindowSize: exchangeStreamWindowBytes,
    // Those beyond the limit are answered, which a stream that never opens is not.
    maxConcurrentStreams: 2 * exchangeStreamsMax,
    enablePush: false,
  },
};

/** To be called when the connection stands. Ends it when pings are not answered. */
export function tendSession(session: Http2Session, scheduler: Scheduler): void {
  session.setLocalWindowSize(exchangeSessionWindowBytes);
  let cancel = ignore;
  const wait = (): void => {
    if (!session.destroyed) cancel = scheduler.after(keepaliveMs, ping);
  };
  const ping = (): void => {
    if (session.destroyed) return;
    cancel = scheduler.after(keepaliveTimeoutMs, () => session.destroy());
    session.ping(() => {
      cancel();
      wait();
    });
  };
  session.once("close", () => cancel());
  wait();
}

export function createPartialBudget(bytesMax: number = exchangePartialBytesMax): PartialBudget {
  let left = bytesMax;
  return {
    hold: (bytes) => {
      if (bytes > left) return false;
      left -= bytes;
      return true;
    },
    release: (bytes) => {
      left += bytes;
    },
  };
}

function ignore(): void {}
