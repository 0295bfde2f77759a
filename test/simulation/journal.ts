import type { SimBatch } from "./history.ts";

/** What a journal's file holds: the own chain, and how far it is known to be final. */
export interface JournalContent {
  readonly batches: readonly SimBatch[];
  readonly finalCount: number;
  /** Nothing is sealed in an earlier epoch. */
  readonly epoch: number;
}

export const emptyJournal: JournalContent = { batches: [], finalCount: 0, epoch: 0 };
