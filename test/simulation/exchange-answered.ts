/** What a provider is like that does not wait for the answers to its receipts. */
import type { UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";
import type { SealedRecord } from "../../src/ledger/ports.ts";

/** Whoever waits for answers is told at once that there is one. */
export function answeredAtOnce(
  waits: UnacknowledgedReceipts,
  defer: (work: () => void) => void,
): UnacknowledgedReceipts {
  return new Proxy(waits, {
    get: (target, name) => {
      if (name === "released") {
        return (peer: string, sealed: SealedRecord, onAcknowledged?: () => void, key?: string) => {
          target.released(peer, sealed, undefined, key);
          if (onAcknowledged !== undefined) defer(onAcknowledged);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
