/** The exchanges that are under way on one link, and the tokens that they share. */
import type { Frame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { linkCarriage } from "./link-carriage.ts";
import type { Carriage, CarriageListener, LinkEnd } from "./ports.ts";
import { type IssueToken, TokenBatcher } from "./token-batcher.ts";

/** By the number that the consumer gives them. */
export class LinkExchanges {
  readonly #link: LinkEnd;
  readonly #byNumber = new Map<bigint, CarriageListener>();
  readonly batcher: TokenBatcher;
  #next = 1n;

  constructor(link: LinkEnd, issue: IssueToken, defer: (work: () => void) => void) {
    this.#link = link;
    this.batcher = new TokenBatcher(issue, defer);
  }

  /** A place for one exchange on the link. */
  open(listener: CarriageListener): Carriage {
    const number = this.#next++;
    this.#byNumber.set(number, listener);
    return linkCarriage(this.#link, number, () => this.#byNumber.delete(number));
  }

  onFrame({ exchange, body }: Frame): void {
    if (body.case !== undefined) this.#byNumber.get(exchange)?.onFrame(body);
  }

  lost(): void {
    for (const exchange of [...this.#byNumber.values()]) exchange.onLost();
  }
}
