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
  /** That it sequences. */
  readonly term: number | undefined;
  start(): void;
  close(): void;
  /** Only a sequencer answers. */
  submit(batch: SimBatch, answer: (result: Inclusion) => void): void;
  /** The newest term has another sequencer: a follower asks that one. */
  lookAgain?(): void;
  /** The newest head that followers are shown. */
  head(): Note | undefined;
}

/** The newest term, when its sequencer is this node and the term is not known to have ended. */
export function sequencedTerm(node: SimNode, replica: SimReplica): number | undefined {
  const newest = replica.facts.terms.at(-1);
  if (newest === undefined || newest.gateway !== node.city || newest.term === node.endedTerm) {
    return undefined;
  }
  return node.logKeys.has(newest.term) ? newest.term : undefined;
}

export function createRole(node: SimNode, replica: SimReplica, witness: SimWitness): Role {
  const term = sequencedTerm(node, replica);
  const key = term === undefined ? undefined : node.logKeys.get(term);
  if (key !== undefined && node.isLiar && node.sim.liar !== undefined) {
    return node.sim.liar.createRole(key);
  }
  return key === undefined
    ? new SimFollower(node, replica)
    : new SimSequencer(node, replica, witness, key);
}
