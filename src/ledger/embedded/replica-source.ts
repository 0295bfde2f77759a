import { equalBytes } from "../../base/bytes.ts";
import { followItems, type Published } from "./follow-source.ts";
import type { FollowItem, FollowStart } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import { Signal } from "./signal.ts";

type Head = NonNullable<ReturnType<Published["head"]>>;

/** What a gateway that is not the sequencer shows to others: what its replica has verified. */
export class ReplicaSource {
  readonly #replica: LedgerReplica;
  readonly #signal = new Signal();
  readonly #ended = new AbortController();
  readonly #stopListening: () => void;
  #head: Head | undefined;

  constructor(replica: LedgerReplica) {
    this.#replica = replica;
    this.#stopListening = replica.onChange(() => this.#signal.raise());
  }

  follow(start: FollowStart, signal: AbortSignal): AsyncIterable<FollowItem> {
    const source = {
      reader: this.#replica.reader,
      published: publishedBy(this.#replica, () => this.#newestHead()),
      signal: this.#signal,
    };
    return followItems(source, start, AbortSignal.any([signal, this.#ended.signal]));
  }

  close(): void {
    this.#stopListening();
    this.#ended.abort();
  }

  /** The head that was compared last; the same value while it is. */
  #newestHead(): Head | undefined {
    const { reader } = this.#replica;
    const stored = reader.head();
    if (stored === undefined || stored.size === 0n) return undefined;
    if (this.#head === undefined || !equalBytes(this.#head.note, stored.note)) {
      const registryDigest = reader.registryDigest(stored.size - 1n);
      this.#head = registryDigest && { ...stored, registryDigest };
    }
    return this.#head;
  }
}

/** What is shown of a replica, beside a head. */
export function publishedBy(replica: LedgerReplica, head: Published["head"]): Published {
  return {
    size: () => replica.state().size,
    head,
    final: () => replica.final(),
    terms: () => replica.trust().state.terms,
    generation: () => replica.generation,
  };
}
