/** The ledger as a recovery sees it: brought to its present, and the own chain read from it. */
import type { Clock, Scheduler } from "../src/base/clock.ts";
import { assertInvariant, CausewayError } from "../src/base/errors.ts";
import { ChainStates } from "../src/exchange/chain-states.ts";
import { formatBody } from "../src/ledger/embedded/bodies.ts";
import type { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import type { RebuiltBatch } from "../src/ledger/journal/sqlite-rebuild.ts";
import type { Place } from "../src/ledger/journal/store.ts";
import type { IncludedBatch, Replica } from "../src/ledger/ports.ts";

/** How long nothing new comes before a head that covers everything held is the present one. */
const quietMs = 1_000;
const lookMs = 100;

/**
 * Waits until the replica, which follows the ledger by now, has its present: a checkpoint that became final
 * after `sinceMs`, or a head of the log that covers everything held with nothing behind it.
 * Rejects with LEDGER_UNAVAILABLE after `waitMs`, and with the fault of a ledger that is trusted no more.
 */
export async function reachPresent(
  replica: LedgerReplica,
  options: {
    readonly clock: Clock;
    readonly scheduler: Scheduler;
    /** Unix milliseconds. */
    readonly sinceMs: number;
    readonly waitMs: number;
  },
): Promise<void> {
  const { clock, scheduler, sinceMs, waitMs } = options;
  const endMs = clock.monotonicMs() + waitMs;
  let changedMs: number | undefined;
  const stop = replica.onChange(() => {
    changedMs = clock.monotonicMs();
  });
  const isPresent = (): boolean => {
    if ((replica.final()?.timeMs ?? 0) >= sinceMs) return true;
    const isQuiet = changedMs !== undefined && clock.monotonicMs() - changedMs >= quietMs;
    return isQuiet && replica.reader.head()?.size === replica.state().size;
  };
  try {
    while (!isPresent()) {
      const fault = replica.fault();
      if (fault !== undefined) {
        throw new CausewayError(fault.reason, "this replica trusts the ledger no more");
      }
      if (clock.monotonicMs() >= endMs) {
        throw new CausewayError("LEDGER_UNAVAILABLE", "no member has shown the present ledger");
      }
      await pause(scheduler, lookMs);
    }
  } finally {
    stop();
  }
}

export function pause(scheduler: Scheduler, delayMs: number): Promise<void> {
  return new Promise((resolve) => void scheduler.after(delayMs, resolve));
}

/** All batches of a gateway that the ledger holds, in the order of its chain. */
export function* ownChain(replica: Replica, gateway: string): Generator<RebuiltBatch, void> {
  const states = new ChainStates();
  for (const index of ownIndexes(replica, gateway)) {
    const batch = replica.batch(index);
    assertInvariant(batch !== undefined, `the replica has no batch ${index}`);
    yield rebuilt(batch, { replica, states });
  }
}

/** From the newest one back: each header names the leaf before it, across epochs. */
function ownIndexes(replica: Replica, gateway: string): readonly bigint[] {
  const indexes: bigint[] = [];
  let at = replica.state().chains.get(gateway)?.index;
  while (at !== undefined) {
    indexes.push(at);
    const batch = replica.batch(at);
    at = batch === undefined ? undefined : replica.indexOfLeaf(batch.header.prev);
  }
  return indexes.toReversed();
}

function rebuilt(
  batch: IncludedBatch,
  { replica, states }: { readonly replica: Replica; readonly states: ChainStates },
): RebuiltBatch {
  const { header, leaf, leafHash, records } = batch;
  return {
    epoch: header.epoch,
    seq: header.seq,
    leafHash,
    leaf,
    body: formatBody(records),
    place: placeOf(batch.index, replica),
    boot: header.boot,
    sealedAtMs: Number(header.sealedAt),
    states: states.changesOf(records, Number(header.sealedAt)),
  };
}

function placeOf(index: bigint, replica: Replica): Place {
  const term = replica.state().terms.findLast(({ start }) => start <= index)?.term ?? 0n;
  const isFinal = index < (replica.final()?.size ?? 0n);
  const finalSize = isFinal ? replica.frozenNote(index)?.size : undefined;
  if (!isFinal) return { stage: "included", index, term };
  return { stage: "final", index, term, ...(finalSize === undefined ? {} : { finalSize }) };
}
