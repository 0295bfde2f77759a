/**
 * When this gateway may not seal: its journal is not the whole of its own chain, or may not be, or the
 * ledger takes nothing more of the chain.
 */
import { equalBytes } from "../src/base/bytes.ts";
import type { ReasonCode } from "../src/base/reasons.ts";
import type { Journal } from "../src/ledger/journal/journal.ts";
import type { Replica } from "../src/ledger/ports.ts";

export interface OwnChainOptions {
  readonly gateway: string;
  /** Unix milliseconds of this start. */
  readonly startedAtMs: number;
  readonly replica: Pick<Replica, "state" | "final" | "onFinal" | "onIncluded">;
  readonly journal: Pick<Journal, "reader" | "epoch" | "awaitedEpoch" | "tipAtStart">;
  readonly halt: (code: ReasonCode) => void;
  readonly lift: (code: ReasonCode) => void;
}

/**
 * Halts sealing, and lifts what has passed, from now until the result is called.
 *
 * - `JOURNAL_ROLLED_BACK`, for good: the ledger has a batch of the own chain that the journal lacks, so that
 *   what it would seal next stands elsewhere already; or the journal was written again and its new epoch has not begun.
 * - `LEDGER_BEHIND`: the journal is empty, and no checkpoint that became final after this start was seen. It may
 *   be a new gateway's, or a lost one: the ledger of this moment tells them apart, an old copy of it does not.
 * - `CHAIN_FROZEN`: the registry has frozen the chain, and this journal seals no later epoch.
 */
export function watchOwnChain(options: OwnChainOptions): () => void {
  const { gateway, replica, journal, halt } = options;
  const compare = (place: { epoch: bigint; seq: bigint; leafHash: Uint8Array }): void => {
    const own = journal.reader.batchAt(place)?.leafHash;
    if (own === undefined || !equalBytes(own, place.leafHash)) halt("JOURNAL_ROLLED_BACK");
  };
  const { awaitedEpoch, epoch, tipAtStart } = journal;
  if (awaitedEpoch !== undefined && epoch < awaitedEpoch) halt("JOURNAL_ROLLED_BACK");
  const tip = replica.state().chains.get(gateway);
  if (tip !== undefined) compare(tip);
  else if (tipAtStart === undefined) halt("LEDGER_BEHIND");
  heedFreeze(options);
  const stops = [
    replica.onIncluded(({ header, leafHash }) => {
      if (header.gateway === gateway) {
        compare({ epoch: header.epoch, seq: header.seq, leafHash });
      }
      heedFreeze(options);
    }),
    replica.onFinal(({ timeMs }) => {
      if (isAfterStart(timeMs, options)) options.lift("LEDGER_BEHIND");
      heedFreeze(options);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Cosignatures tell the time in whole seconds. */
function isAfterStart(timeMs: number, { startedAtMs }: OwnChainOptions): boolean {
  return timeMs >= startedAtMs - (startedAtMs % 1000);
}

function heedFreeze({ gateway, replica, journal, halt, lift }: OwnChainOptions): void {
  const { chains, chainStops } = replica.state();
  const isFrozen = chainStops.get(gateway)?.frozen !== undefined;
  const epoch = chains.get(gateway)?.epoch ?? 0n;
  if (isFrozen && journal.epoch <= epoch) halt("CHAIN_FROZEN");
  else lift("CHAIN_FROZEN");
}
