/** What a provider is like that does not wait for the answers to its receipts. */
import type { BegunAttempt, UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";

/** Whoever waits for answers is told at once that there is one. */
export function answeredAtOnce(
  waits: UnacknowledgedReceipts,
  defer: (work: () => void) => void,
): UnacknowledgedReceipts {
  return new Proxy(waits, {
    get: (target, name) => {
      if (name === "begun") {
        return (peer: string): BegunAttempt => {
          const begun = target.begun(peer);
          return {
            ...begun,
            released: (sealed, attempt, onAcknowledged) => {
              begun.released(sealed, attempt);
              if (onAcknowledged !== undefined) defer(onAcknowledged);
            },
          };
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
