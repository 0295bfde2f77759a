import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Clock, Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import {
  appendBatchesMax,
  appendIntervalMs,
  submitGapWaitMs,
  submitQueueMax,
} from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { Header } from "../../gen/causeway/record/v1/header_pb.ts";
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
  /** Those that lack a batch before them, and how to end their wait. */
  readonly #early = new Map<Submission, () => void>();
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

  /**
   * Waits for `open`. A batch that has overtaken those before it in its chain waits for them a while.
   * Rejects with BUSY when the queue is full, and with the reason of `close` after it. */
  submit(batch: SealedBatch): Promise<SubmitResult> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const leaf = openForSubmit(batch.leaf);
    if ("reason" in leaf) return Promise.resolve(this.#rejected(leaf.reason));
    if (this.#queue.length + this.#early.size >= submitQueueMax) {
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
    for (const { reject } of [...this.#queue.splice(0), ...this.#early.keys()]) {
      reject(this.#closed);
    }
    for (const cancel of this.#early.values()) cancel();
    this.#early.clear();
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
      const next = new NextSeqs(this.#replica);
      for (const submission of inChains(group)) {
        const known = this.#known(submission) ?? this.#withoutBlob(submission);
        if (known !== undefined) submission.resolve(known);
        else if (places.has(placeOf(submission))) again.push(submission);
        else if (!next.isIt(submission.leaf.header)) this.#wait(submission);
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
        if (result.kind === "included") this.#queue.push(...this.#takeEarly(submission));
      }
      // The same place twice in one group: the next group knows what became of the first.
      if (this.#closed === undefined) this.#queue.unshift(...again);
      else for (const { reject } of again) reject(this.#closed);
    } catch (error) {
      for (const { reject } of group) reject(error);
      if (error instanceof CausewayError && error.code !== "STORAGE_FAILED") return;
      this.close("STORAGE_FAILED");
      this.#onFatal(error);
    }
  }

  /** Batches of one chain come side by side: what lacks one before it is asked again when that is included. */
  #wait(submission: Submission): void {
    const cancel = this.#scheduler.after(submitGapWaitMs, () => {
      this.#early.delete(submission);
      submission.resolve(this.#rejected("CHAIN_GAP"));
    });
    this.#early.set(submission, cancel);
  }

  /** What waits in this chain: all that follow each other fit into the next group, the rest waits again. */
  #takeEarly({ leaf: { header } }: Submission): readonly Submission[] {
    const ready: Submission[] = [];
    for (const [submission, cancel] of this.#early) {
      const { gateway, epoch } = submission.leaf.header;
      if (gateway !== header.gateway || epoch !== header.epoch) continue;
      cancel();
      this.#early.delete(submission);
      ready.push(submission);
    }
    return ready;
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

/** What comes next in each chain, those before it in the same group included. */
class NextSeqs {
  readonly #replica: LedgerReplica;
  readonly #seqs = new Map<string, bigint>();

  constructor(replica: LedgerReplica) {
    this.#replica = replica;
  }

  /** Whether a batch goes on from what is known, or is not for this to say: another epoch, or a chain without a leaf. */
  isIt({ gateway, epoch, seq }: Header): boolean {
    const tip = this.#replica.state().chains.get(gateway);
    if (tip === undefined || tip.epoch !== epoch) return true;
    const next = this.#seqs.get(gateway) ?? tip.seq + 1n;
    if (seq > next) return false;
    this.#seqs.set(gateway, seq === next ? next + 1n : next);
    return true;
  }
}

/** Chains in the order in which the first of each came, the batches of one by their place. */
function inChains(group: readonly Submission[]): readonly Submission[] {
  const chains = new Map<string, Submission[]>();
  for (const submission of group) {
    const { gateway } = submission.leaf.header;
    const chain = chains.get(gateway);
    if (chain === undefined) chains.set(gateway, [submission]);
    else chain.push(submission);
  }
  return [...chains.values()].flatMap((chain) => chain.toSorted(byPlace));
}

function byPlace({ leaf: { header: a } }: Submission, { leaf: { header: b } }: Submission): number {
  const [first, second] = a.epoch === b.epoch ? [a.seq, b.seq] : [a.epoch, b.epoch];
  return first < second ? -1 : Number(first > second);
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
