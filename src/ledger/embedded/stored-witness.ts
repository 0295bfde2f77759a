import type { WitnessStore } from "../store/store.ts";
import { termOfOriginText } from "./term-opening.ts";
import type { PromisedHead, StoredWitness } from "./witness-types.ts";

/** What a witness has promised, as its store has it. */
export function storedWitness(store: WitnessStore): StoredWitness {
  const promises = [...store.promises()].flatMap(([origin, head]): [string, PromisedHead][] => {
    const term = termOfOriginText(origin);
    return term === undefined ? [] : [[origin, { term, ...head }]];
  });
  return {
    promises: new Map(promises),
    promisedTerm: store.promisedTerm(),
    promisedChoice: store.promisedChoice(),
    lost: store.lost(),
  };
}
