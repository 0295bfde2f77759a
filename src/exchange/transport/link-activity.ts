/** What a link that this side has opened still carries, known from the frames that pass. */
import { linkExchangesMax } from "../../base/limits.ts";
import type { FrameBody } from "../ports.ts";

/** `acknowledging`: every exchange has its answer, and acknowledgements of some are to be sent. */
export type Activity = "busy" | "acknowledging" | "idle";

export class LinkActivity {
  readonly #open = new Set<bigint>();
  readonly #unacknowledged = new Set<bigint>();

  get now(): Activity {
    if (this.#open.size > 0) return "busy";
    return this.#unacknowledged.size > 0 ? "acknowledging" : "idle";
  }

  sent(exchange: bigint, body: FrameBody): void {
    if (body.case === "call") this.#open.add(exchange);
    else if (body.case === "acknowledgement") this.#unacknowledged.delete(exchange);
    // Nobody waits for the answer any more; it is acknowledged if it still comes.
    else if (body.case === "cancel" && this.#open.delete(exchange)) this.#await(exchange);
  }

  received(exchange: bigint, body: FrameBody): void {
    if (body.case === "answer" || (body.case === "part" && body.value.last)) {
      if (this.#open.delete(exchange)) this.#await(exchange);
    } else if (isRefusal(body)) {
      this.#open.delete(exchange);
      this.#unacknowledged.delete(exchange);
    }
  }

  /** Of an answer that nobody waited for, or that was not what it should be, no acknowledgement comes. */
  #await(exchange: bigint): void {
    this.#unacknowledged.add(exchange);
    if (this.#unacknowledged.size <= linkExchangesMax) return;
    const [oldest] = this.#unacknowledged;
    if (oldest !== undefined) this.#unacknowledged.delete(oldest);
  }
}

function isRefusal(body: FrameBody): boolean {
  return body.case === "refused" || body.case === "failed" || body.case === "nonceStale";
}
