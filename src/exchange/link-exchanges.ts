/** The exchanges that are under way on one link, and the tokens that they share. */
import type { Frame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { type IssueToken, TokenBatcher } from "./token-batcher.ts";

/** What an exchange hears of its link. */
export interface LinkListener {
  onFrame(frame: Frame): void;
  onLinkLost(): void;
}

/** By the number that the consumer gives them. */
export class LinkExchanges {
  readonly #byNumber = new Map<bigint, LinkListener>();
  readonly batcher: TokenBatcher;
  #next = 1n;

  constructor(issue: IssueToken, defer: (work: () => void) => void) {
    this.batcher = new TokenBatcher(issue, defer);
  }

  add(exchange: LinkListener): bigint {
    const number = this.#next++;
    this.#byNumber.set(number, exchange);
    return number;
  }

  remove(number: bigint): void {
    this.#byNumber.delete(number);
  }

  onFrame(frame: Frame): void {
    this.#byNumber.get(frame.exchange)?.onFrame(frame);
  }

  lost(): void {
    for (const exchange of [...this.#byNumber.values()]) exchange.onLinkLost();
  }
}
