/**
 * What the provider's end has said of one attempt and was not looked at yet, in its order. An honest
 * provider has at most a window of segments under way, and one end of them.
 */
import type { ReasonCode } from "../base/reasons.ts";
import { failedFrame } from "./frames.ts";
import type { FrameBody } from "./ports.ts";

export type Arrival =
  | Exclude<FrameBody, { case: "credit" }>
  /** So many more messages of the request are taken. */
  | { readonly case: "taken"; readonly messages: number }
  | { readonly case: "lost" }
  /** This gateway has not opened what was to carry the attempt. */
  | { readonly case: "unopened"; readonly reason: ReasonCode };

/** Beside the segments: how the attempt ended, and that its link did. */
const endsMax = 2;

export class Arrivals {
  readonly #max: number;
  #queue: Arrival[] = [];
  /** Those of #queue that are no word of what is taken, which is summed up. */
  #counted = 0;
  #closed = false;

  /** @param window segments that may wait. */
  constructor(window: number) {
    this.#max = window + endsMax;
  }

  /**
   * Takes what has come. `too-many` once, when the provider does not keep to its window: the last to be heard of
   * it is then that it failed.
   */
  push(arrival: Arrival): "taken" | "too-many" {
    if (this.#closed) return "taken";
    const last = this.#queue.at(-1);
    if (arrival.case === "taken" && last?.case === "taken") {
      const messages = last.messages + arrival.messages;
      this.#queue[this.#queue.length - 1] = { case: "taken", messages };
      return "taken";
    }
    const isCounted = arrival.case !== "taken";
    if (isCounted && this.#counted >= this.#max) {
      this.#closed = true;
      this.#queue.push(failedFrame("PROTOCOL_ERROR") as Arrival);
      return "too-many";
    }
    if (isCounted) this.#counted += 1;
    this.#queue.push(arrival);
    return "taken";
  }

  /** What is next; with `segmentOnly` nothing that ends the attempt. */
  shift(segmentOnly = false): Arrival | undefined {
    const kind = this.#queue[0]?.case;
    if (segmentOnly && kind !== "answer" && kind !== "taken") return undefined;
    const next = this.#queue.shift();
    if (next !== undefined && next.case !== "taken") this.#counted -= 1;
    return next;
  }
}
