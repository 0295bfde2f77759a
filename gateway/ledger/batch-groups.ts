import { batchMessageBytesMax, groupBatchesMax } from "../../src/base/limits.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { messageBytesOf } from "./ledger-messages.ts";

interface Waiting<Answer> {
  readonly batch: SealedBatch;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** Batches that are handed over in one turn of the event loop travel in one message, as far as they fit. */
export class BatchGroups<Answer> {
  readonly #send: (batches: readonly SealedBatch[]) => Promise<readonly Answer[]>;
  #waiting: Waiting<Answer>[] = [];

  /** @param send answers each batch, in their order; when it rejects, all of them are rejected. */
  constructor(send: (batches: readonly SealedBatch[]) => Promise<readonly Answer[]>) {
    this.#send = send;
  }

  add(batch: SealedBatch): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject });
      if (this.#waiting.length === 1) queueMicrotask(() => this.#sendAll());
    });
  }

  #sendAll(): void {
    for (const group of groupsOf(this.#waiting.splice(0))) void this.#sendOne(group);
  }

  async #sendOne(group: readonly Waiting<Answer>[]): Promise<void> {
    try {
      const answers = await this.#send(group.map(({ batch }) => batch));
      for (const [i, { resolve }] of group.entries()) resolve(answers[i] as Answer);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}

function groupsOf<Answer>(waiting: readonly Waiting<Answer>[]): readonly Waiting<Answer>[][] {
  const groups: Waiting<Answer>[][] = [];
  let bytes = 0;
  for (const entry of waiting) {
    const group = groups.at(-1);
    bytes += messageBytesOf(entry.batch);
    if (group === undefined || group.length === groupBatchesMax || bytes > batchMessageBytesMax) {
      bytes = messageBytesOf(entry.batch);
      groups.push([entry]);
    } else group.push(entry);
  }
  return groups;
}
