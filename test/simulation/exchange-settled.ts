/** What everybody has come to once the faults are over. */
import type { ExchangeSim } from "./exchange-sim.ts";

/** What is still missing once the faults have stopped. */
export function missingIn(sim: ExchangeSim): string | undefined {
  const { gateways, isLying, isProbed, ledger } = sim;
  if (!isLying && !isProbed) return "nobody has called since";
  if (ledger.final.size < BigInt(ledger.size)) return "the ledger has batches that are not final";
  for (const gateway of gateways) {
    const { process, disk, name, applied } = gateway;
    if (process === undefined) return `${name} is down`;
    if (gateway.lies === undefined && disk.submitted < disk.batches.length) {
      return `${name} has batches that the ledger lacks`;
    }
    if (applied.next < ledger.events.length) return `${name} is behind`;
    if (!process.journal.isIdle) return `${name} is sealing`;
    const open = process.provider.openAttempts + process.consumer.openExchanges;
    if (open > 0) return `${name} has ${open} attempts under way`;
    for (const caller of process.callers) {
      if (caller.status === undefined) return `a call at ${name} has no end`;
      if (!caller.isHandled) return `a call at ${name} is not done with`;
    }
    if (gateway.lies !== undefined) continue;
    const kept = [...disk.states.keys()].find((key) => key.includes("/open/"));
    if (kept !== undefined) return `${name} keeps ${kept}`;
    if (isLying) continue;
    const { unacknowledged, sent, joined, leaves } = process;
    if (unacknowledged.count > 0) return `${name} waits for ${unacknowledged.count} answers`;
    if (sent.count > 0) return `${name} keeps ${sent.count} acknowledgements`;
    if (joined.count > 0) return `${name} keeps ${joined.count} calls that are joined`;
    if (leaves.count > 0) return `${name} keeps ${leaves.count} leaves`;
    if (gateway.heldDisk.records.size > 0) return `${name} keeps records that are final`;
  }
  return sim.checker.attempts.unclosed();
}
