import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import type { Held } from "./follow-source.ts";
import type { Wire } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { Sim } from "./sim.ts";

/** A city that does not keep to the protocol. */
export class Liar {
  readonly city: number;

  constructor(_sim: Sim, city: number) {
    this.city = city;
  }

  /** Whether it serves a follow stream in a way of its own. */
  follows(_wire: Wire<FollowItem>, _held: Held, _follower: SimNode): boolean {
    return false;
  }
}
