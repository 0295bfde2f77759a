import type { Scheduler } from "../../base/clock.ts";
import { AssertionError, CausewayError } from "../../base/errors.ts";
import { kindOfBatch } from "../../record/batch.ts";
import { openLeaf } from "../../record/leaf.ts";
import type { SealedBatch } from "../ports.ts";
import { type NamedBlob, namedBlobs } from "./blob-names.ts";
import {
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
  initialFollower,
  stepFollower,
} from "./follower-machine.ts";
import type { FollowStream, LedgerClient } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import type { LedgerReport } from "./sequencer.ts";

export interface FollowerOptions {
  readonly replica: LedgerReplica;
  readonly client: LedgerClient;
  readonly scheduler: Scheduler;
  readonly onReport: (report: LedgerReport) => void;
  /** The store failed, or an invariant is broken: the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** Keeps a replica up with a sequencer, and believes nothing that it has not verified. */
export class Follower {
  readonly #options: FollowerOptions;
  #state: FollowerState;
  #stream: FollowStream | undefined;
  #cancelWait: () => void = () => undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(options: FollowerOptions) {
    this.#options = options;
    const { replica } = options;
    this.#state = initialFollower({
      size: replica.state().size,
      finalSize: replica.final()?.size ?? 0n,
    });
  }

  start(): void {
    const { replica } = this.#options;
    // A witness beside this replica may find the fork before the stream shows it.
    replica.onFault(() => this.#take({ kind: "distrusted" }));
    this.#take({ kind: replica.fault() === undefined ? "start" : "distrusted" });
  }

  /** Resolves when nothing is being stored any more. */
  async close(): Promise<void> {
    this.#take({ kind: "stop" });
    this.#cancelWait();
    await this.#work;
  }

  #take(event: FollowerEvent): void {
    const { state, effects } = stepFollower(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: FollowerEffect): void {
    switch (effect.kind) {
      case "connect":
        this.#connect(effect);
        return;
      case "disconnect":
        this.#stream?.cancel();
        this.#stream = undefined;
        return;
      case "pause":
        this.#stream?.pause();
        return;
      case "resume":
        this.#stream?.resume();
        return;
      case "wait":
        this.#cancelWait();
        this.#cancelWait = this.#options.scheduler.after(effect.delayMs, () =>
          this.#take({ kind: "retry" }),
        );
        return;
      case "apply":
      case "head":
      case "final":
        this.#work = this.#judge(effect);
    }
  }

  #connect(effect: Extract<FollowerEffect, { kind: "connect" }>): void {
    const { stream, fromIndex, fromFinalSize } = effect;
    this.#stream = this.#options.client.follow(
      { fromIndex, fromFinalSize },
      {
        onItem: (item) => this.#take({ kind: "item", stream, item }),
        onEnd: () => this.#take({ kind: "ended", stream }),
      },
    );
  }

  async #judge(
    effect: Extract<FollowerEffect, { kind: "apply" | "head" | "final" }>,
  ): Promise<void> {
    const { replica } = this.#options;
    try {
      if (!(await this.#isTrusted(effect))) {
        this.#take({ kind: "distrusted" });
        return;
      }
    } catch (cause) {
      if (isFatal(cause)) {
        this.#take({ kind: "stop" });
        this.#options.onFatal(cause);
        return;
      }
      // Bytes that anyone on the way could have sent prove nothing against the log: the stream is begun anew.
      const reason = cause instanceof CausewayError ? cause.code : "LEDGER_UNAVAILABLE";
      this.#options.onReport({ event: "follow interrupted", reason, cause });
      this.#take({ kind: "failed" });
      return;
    }
    this.#take({
      kind: "done",
      size: replica.state().size,
      finalSize: replica.final()?.size ?? 0n,
    });
  }

  async #isTrusted(
    effect: Extract<FollowerEffect, { kind: "apply" | "head" | "final" }>,
  ): Promise<boolean> {
    const { replica } = this.#options;
    switch (effect.kind) {
      case "head":
        return replica.takeHead(effect.note, effect.registryDigest);
      case "final":
        return replica.takeFinal(effect.note);
      case "apply":
        return this.#apply(effect);
    }
  }

  async #apply(effect: Extract<FollowerEffect, { kind: "apply" }>): Promise<boolean> {
    const { replica } = this.#options;
    for (const [i, batch] of effect.batches.entries()) {
      if (await this.#fetchBlobs(batch)) continue;
      replica.distrust({ reason: "BLOB_MISMATCH", index: effect.from + BigInt(i) });
      return false;
    }
    const inclusions = await replica.include(effect.batches, "stop");
    const last = inclusions.at(-1);
    if (last?.kind !== "rejected") return true;
    // What structure refuses has no index on this ledger: a sequencer that gives it one is not followed.
    replica.distrust({ reason: last.reason, index: last.atSize });
    return false;
  }

  /** Stores the blobs that the batch names; `false` when one cannot have the size that it is announced with. */
  async #fetchBlobs(batch: SealedBatch): Promise<boolean> {
    const { replica, client } = this.#options;
    for (const { sha256, bytes } of blobsOf(batch)) {
      if (replica.reader.blobSize(sha256) === undefined) {
        replica.putBlob(sha256, await client.getBlob(sha256));
      }
      if (replica.reader.blobSize(sha256) !== bytes) return false;
    }
    return true;
  }
}

function blobsOf(batch: SealedBatch): readonly NamedBlob[] {
  try {
    const isGovernance = kindOfBatch(openLeaf(batch.leaf).header) === "governance";
    return isGovernance ? namedBlobs(batch.records) : [];
  } catch (error) {
    // A batch that cannot be read is refused when it is folded.
    if (error instanceof CausewayError) return [];
    throw error;
  }
}

function isFatal(error: unknown): boolean {
  if (error instanceof CausewayError) return error.code === "STORAGE_FAILED";
  return (
    error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError
  );
}
