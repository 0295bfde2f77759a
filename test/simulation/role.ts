import { SimFollower } from "./follower.ts";
import type { SimBatch } from "./history.ts";
import type { Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Inclusion, SimReplica } from "./replica.ts";
import { SimSequencer } from "./sequencer.ts";
import type { SimWitness } from "./witness.ts";

/** A node sequences the newest term that it knows, when that is its own, and follows in all others. */
export interface Role {
  readonly kind: "sequencer" | "follower";
  start(): void;
  close(): void;
  /** Only a sequencer answers. */
  submit(batch: SimBatch, answer: (result: Inclusion) => void): void;
  /** The newest head that followers are shown. */
  head(): Note | undefined;
}

export function createRole(node: SimNode, replica: SimReplica, witness: SimWitness): Role {
  const newest = replica.facts.terms.at(-1);
  const key = newest?.gateway === node.city ? node.logKeys.get(newest.term) : undefined;
  return key === undefined
    ? new SimFollower(node, replica)
    : new SimSequencer(node, replica, witness, key);
}
