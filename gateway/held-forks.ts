/**
 * Leaves that came in-band and contradict the final ones at their places: held, also on disk, until the
 * contradiction stands against the gateway that signed both.
 */
import { toHex } from "../src/base/bytes.ts";
import type { HeldLeaf } from "../src/exchange/held-leaves.ts";
import type { JournalReader } from "../src/ledger/journal/store.ts";
import type { Replica } from "../src/ledger/ports.ts";
import { reportedKey } from "./equivocations.ts";

export interface HeldForksPorts {
  readonly replica: Pick<Replica, "final" | "state">;
  readonly journal: Pick<JournalReader, "state">;
  /** The leaf needs to be held no longer. */
  forget(leafHash: Uint8Array): void;
}

export class HeldForks {
  readonly #ports: HeldForksPorts;
  readonly #held = new Map<string, HeldLeaf>();

  constructor(ports: HeldForksPorts) {
    this.#ports = ports;
  }

  add(held: HeldLeaf): void {
    this.#held.set(toHex(held.leafHash), held);
  }

  /** One of this gateway's chain. */
  leafOf(gateway: string): Uint8Array | undefined {
    return [...this.#held.values()].find(({ place }) => place.gateway === gateway)?.leaf;
  }

  /** After each final checkpoint: lets go of what was reported here, and of chains that are frozen or have a new epoch. */
  settle(): void {
    for (const [key, held] of this.#held) {
      if (!this.#isSettled(held)) continue;
      this.#held.delete(key);
      this.#ports.forget(held.leafHash);
    }
  }

  #isSettled({ place }: HeldLeaf): boolean {
    const { journal, replica } = this.#ports;
    if (journal.state(reportedKey(place)) !== undefined) return true;
    const { chains, chainStops } = replica.state();
    const frozen = chainStops.get(place.gateway)?.frozen;
    const isFinal = frozen !== undefined && frozen.index < (replica.final()?.size ?? 0n);
    return isFinal || (chains.get(place.gateway)?.epoch ?? 0n) > place.epoch;
  }
}
