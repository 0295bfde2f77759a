import type { Facts } from "./facts.ts";
import type { Rows } from "./history.ts";
import type { Note } from "./notes.ts";

/** What a node, or one face of a lying one, shows to followers. */
export interface Published {
  readonly rows: Rows;
  readonly facts: Facts;
  readonly frozen: readonly Note[];
  readonly head: Note | undefined;
  readonly final: Note | undefined;
  /** Another number once leaves that were here are no more. */
  readonly generation: number;
  onChange(listener: () => void): () => void;
}
