/** Where the gauges of a gateway read their values. */
import type { Clock } from "../src/base/clock.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type { JournalReader } from "../src/ledger/journal/store.ts";
import type { Replica } from "../src/ledger/ports.ts";
import type { ExchangeSides } from "./exchange-sides.ts";
import type { GatewayGauges } from "./telemetry-metrics.ts";

export function gatewayGauges(options: {
  readonly clock: Clock;
  readonly replica: Pick<Replica, "state" | "final">;
  readonly sides: Pick<ExchangeSides, "consumer" | "provider" | "links">;
  readonly journal: Pick<JournalReader, "batchCount" | "finalCount">;
  notReady(): readonly ReasonCode[];
}): GatewayGauges {
  const { clock, replica, sides, journal } = options;
  return {
    openExchanges: () => sides.consumer.openExchanges,
    openAttempts: () => sides.provider.openAttempts,
    unacknowledgedReceipts: () => sides.provider.unacknowledgedReceipts,
    links: () => sides.links.count,
    includedSize: () => Number(replica.state().size),
    finalSize: () => Number(replica.final()?.size ?? 0n),
    finalAgeSeconds: () => {
      const final = replica.final();
      return final === undefined ? undefined : Math.max(0, clock.nowMs() - final.timeMs) / 1000;
    },
    journalNotFinal: () => journal.batchCount() - journal.finalCount(),
    isReady: () => options.notReady().length === 0,
  };
}
