/**
 * Whether an attempt of this gateway was closed long ago: of what was matched the journal's own state knows
 * nothing any more, the chain itself still does.
 */
import { equalBytes } from "../base/bytes.ts";
import { Side } from "../gen/causeway/record/v1/record_pb.ts";
import type { JournalReader } from "../ledger/journal/store.ts";
import { openLeaf } from "../record/leaf.ts";
import { type LedgerRecord, openRecord } from "../record/record.ts";
import type { AttemptName } from "./consumer-records.ts";

/** Batches that are read before everything else has its turn. */
const batchesBetweenTurns = 64;

/** The own batches, newest first. */
export type OwnJournal = Pick<JournalReader, "newest">;

export interface OwnChain {
  readonly journal: OwnJournal;
  /** Lets everything else have its turn. */
  turn(): Promise<void>;
}

/**
 * Looks through the own chain, newest first, for the record that closes an attempt.
 *
 * @param sinceMs nothing that was sealed before this Unix time can be about it.
 */
export async function wasClosed(
  chain: OwnChain,
  name: Pick<AttemptName, "tokenDigest" | "index">,
  sinceMs: number,
): Promise<boolean> {
  let before: number | undefined;
  for (;;) {
    const batches = chain.journal.newest({
      countMax: batchesBetweenTurns,
      ...(before === undefined ? {} : { before }),
    });
    for (const { leaf, records } of batches) {
      if (Number(openLeaf(leaf).header.sealedAt) < sinceMs) return false;
      if (records.some((record) => closes(openRecord(record), name))) return true;
    }
    const oldest = batches.at(-1);
    if (oldest === undefined || oldest.number === 0) return false;
    before = oldest.number;
    await chain.turn();
  }
}

function closes(
  { body }: LedgerRecord,
  { tokenDigest, index }: Pick<AttemptName, "tokenDigest" | "index">,
): boolean {
  const isClosing =
    (body.case === "acknowledgement" && body.value.final) ||
    (body.case === "closed" && body.value.side === Side.CONSUMER);
  return isClosing && body.value.index === index && equalBytes(body.value.tokenDigest, tokenDigest);
}
