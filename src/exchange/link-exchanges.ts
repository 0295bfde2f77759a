/** The exchanges that are under way on one link, and the tokens that they share. */
import type { Frame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { gatherParts, linkCarriage } from "./link-carriage.ts";
import type { Carriage, CarriageListener, LinkEnd } from "./ports.ts";
import { type IssueToken, TokenBatcher } from "./token-batcher.ts";

/** By the number that the consumer gives them. */
export class LinkExchanges {
  readonly #link: LinkEnd;
  readonly #answerBytesMax: () => number;
  readonly #byNumber = new Map<bigint, CarriageListener>();
  readonly batcher: TokenBatcher;
  #next = 1n;

  constructor(options: {
    readonly link: LinkEnd;
    readonly issue: IssueToken;
    readonly defer: (work: () => void) => void;
    /** Largest encoded answer that is accepted. */
    readonly answerBytesMax: () => number;
  }) {
    const { link, issue, defer } = options;
    this.#link = link;
    this.#answerBytesMax = options.answerBytesMax;
    this.batcher = new TokenBatcher(issue, defer);
  }

  /** A place for one exchange on the link. */
  open(listener: CarriageListener): Carriage {
    const number = this.#next++;
    const carriage = linkCarriage(this.#link, number, () => this.#byNumber.delete(number));
    this.#byNumber.set(number, gatherParts(listener, carriage, this.#answerBytesMax()));
    return carriage;
  }

  onFrame({ exchange, body }: Frame): void {
    if (body.case !== undefined) this.#byNumber.get(exchange)?.onFrame(body);
  }

  lost(): void {
    for (const exchange of [...this.#byNumber.values()]) exchange.onLost();
  }
}
