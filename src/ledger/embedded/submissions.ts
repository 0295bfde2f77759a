import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { appendBatchesMax, appendIntervalMs, submitQueueMax } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { kindOfBatch } from "../../record/batch.ts";
import { keyDigest, type OpenedLeaf, openLeaf, verifyLeaf } from "../../record/leaf.ts";
import type { SealedBatch, SubmitResult } from "../ports.ts";
import type { ChainPlace, LedgerWriter } from "../store/store.ts";
import { namedBlobs } from "./blob-names.ts";
import type { LedgerReplica } from "./replica.ts";

interface Submission {
  readonly batch: SealedBatch;
  readonly leaf: OpenedLeaf;
  readonly resolve: (result: SubmitResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The order of the ledger: batches in the order in which they came, judged one after another and stored
 * in groups, one fsync for each. The first batch after a quiet time is stored at once, those behind it
 * together when the interval is over or a group is full: exchanges share this thread with the ledger.
 * Idempotent by (gateway, epoch, seq): the same leaf has the same index, another one is CHAIN_FORK.
 */
export class Submissions {
  readonly #replica: LedgerReplica;
  readonly #store: LedgerWriter;
  readonly #verifier: Verifier;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #onStored: () => void;
  /** A store that fails leaves nothing to go on with: the process ends and recovers on restart. */
  readonly #onFatal: (error: unknown) => void;
  #queue: Submission[] = [];
  #isOpen = false;
  #isWorking = false;
  /** Monotonic; the next group begins then unless it is full before. */
  #nextGroupAtMs = Number.NEGATIVE_INFINITY;
  #endPause: () => void = () => undefined;
  #closed: CausewayError | undefined;

  constructor(options: {
    readonly replica: LedgerReplica;
    readonly store: LedgerWriter;
    readonly verifier: Verifier;
    readonly clock: Clock;
    readonly scheduler: Scheduler;
    readonly onStored: () => void;
    readonly onFatal: (error: unknown) => void;
  }) {
    this.#replica = options.replica;
    this.#store = options.store;
    this.#verifier = options.verifier;
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#onStored = options.onStored;
    this.#onFatal = options.onFatal;
  }

  /** From now on what comes, and what waits already, is judged. */
  open(): void {
    this.#isOpen = true;
    void this.#work();
  }

  /** Waits for `open`. Rejects with BUSY when the queue is full, and with the reason of `close` after it. */
  submit(batch: SealedBatch): Promise<SubmitResult> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const leaf = openForSubmit(batch.leaf);
    if ("reason" in leaf) return Promise.resolve(this.#rejected(leaf.reason));
    if (this.#queue.length >= submitQueueMax) {
      return Promise.reject(new CausewayError("BUSY", `${submitQueueMax} batches are waiting`));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ batch, leaf, resolve, reject });
      if (this.#queue.length >= appendBatchesMax) this.#endPause();
      void this.#work();
    });
  }

  /** What is waiting is answered with `reason`. */
  close(reason: ReasonCode): void {
    this.#closed ??= new CausewayError(reason, "the sequencer takes no batches any more");
    for (const { reject } of this.#queue.splice(0)) reject(this.#closed);
    this.#endPause();
  }

  #rejected(reason: ReasonCode): SubmitResult {
    return { kind: "rejected", reason, atSize: this.#replica.state().size };
  }

  async #work(): Promise<void> {
    if (this.#isWorking || !this.#isOpen) return;
    this.#isWorking = true;
    // Everything that arrives in this turn of the event loop shares the first group.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      await this.#pause();
      this.#nextGroupAtMs = this.#clock.monotonicMs() + appendIntervalMs;
      await this.#group(this.#queue.splice(0, appendBatchesMax));
    }
    this.#isWorking = false;
  }

  async #pause(): Promise<void> {
    const delayMs = this.#nextGroupAtMs - this.#clock.monotonicMs();
    if (delayMs <= 0 || this.#queue.length >= appendBatchesMax) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#scheduler.after(delayMs, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }

  async #group(group: readonly Submission[]): Promise<void> {
    try {
      const fresh: Submission[] = [];
      const again: Submission[] = [];
      const places = new Set<string>();
      for (const submission of group) {
        const known = this.#known(submission) ?? this.#withoutBlob(submission);
        if (known !== undefined) submission.resolve(known);
        else if (places.has(placeOf(submission))) again.push(submission);
        else {
          places.add(placeOf(submission));
          fresh.push(submission);
        }
      }
      const batches = fresh.map(({ batch }) => batch);
      const inclusions = fresh.length === 0 ? [] : await this.#replica.include(batches, "skip");
      if (inclusions.some(({ kind }) => kind === "included")) this.#onStored();
      for (const [i, submission] of fresh.entries()) {
        const result = inclusions[i];
        assertInvariant(result !== undefined, "every submitted batch is judged");
        submission.resolve(result);
      }
      // The same place twice in one group: the next group knows what became of the first.
      this.#queue.unshift(...again);
    } catch (error) {
      for (const { reject } of group) reject(error);
      if (error instanceof CausewayError && error.code !== "STORAGE_FAILED") return;
      this.close("STORAGE_FAILED");
      this.#onFatal(error);
    }
  }

  /** The answer for a place of the chain that is taken already. */
  #known({ leaf, batch }: Submission): SubmitResult | undefined {
    const { gateway, epoch, seq } = leaf.header;
    const place: ChainPlace = { gateway, epoch, seq };
    const stored = this.#store.reader.atPlace(place);
    if (stored === undefined) return undefined;
    if (equalBytes(stored.leafHash, leaf.leafHash))
      return { kind: "included", index: stored.index };
    const wrong = this.#signatureFault(leaf);
    if (wrong !== undefined) return this.#rejected(wrong);
    // Two leaves at one place, both signed: the proof that its gateway equivocated or was set back.
    this.#store.addForkedLeaf(place, batch.leaf);
    return this.#rejected("CHAIN_FORK");
  }

  #signatureFault(leaf: OpenedLeaf): ReasonCode | undefined {
    const facts = this.#replica.state().gateways.get(leaf.header.gateway) ?? [];
    const digest = toHex(leaf.header.key);
    const publicKey = facts.find(({ batchKey }) => toHex(keyDigest(batchKey)) === digest)?.batchKey;
    if (publicKey === undefined) return "KEY_UNKNOWN";
    try {
      verifyLeaf({ leaf, publicKey, verifier: this.#verifier });
      return undefined;
    } catch (error) {
      if (error instanceof CausewayError) return error.code;
      throw error;
    }
  }

  #withoutBlob({ leaf, batch }: Submission): SubmitResult | undefined {
    if (kindOfBatch(leaf.header) !== "governance") return undefined;
    const reason = missingBlob(batch, this.#store.reader);
    return reason === undefined ? undefined : this.#rejected(reason);
  }
}

function placeOf({ leaf }: Submission): string {
  const { gateway, epoch, seq } = leaf.header;
  return `${gateway} ${epoch} ${seq}`;
}

function missingBlob(
  batch: SealedBatch,
  reader: { blobSize(sha256: Uint8Array): number | undefined },
): ReasonCode | undefined {
  try {
    for (const { sha256, bytes } of namedBlobs(batch.records)) {
      const stored = reader.blobSize(sha256);
      if (stored === undefined) return "BLOB_MISSING";
      if (stored !== bytes) return "BLOB_MISMATCH";
    }
    return undefined;
  } catch (error) {
    // Records that cannot be read are the fold's to refuse; the reason is the same.
    if (error instanceof CausewayError) return error.code;
    throw error;
  }
}

function openForSubmit(leaf: Uint8Array): OpenedLeaf | { readonly reason: ReasonCode } {
  try {
    return openLeaf(leaf);
  } catch (error) {
    if (error instanceof CausewayError) return { reason: error.code };
    throw error;
  }
}
