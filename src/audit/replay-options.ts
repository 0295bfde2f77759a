/** What a replay of the ledger is told, and by whom it may be helped. */
import type { Verifier } from "../crypto/ports.ts";
import type { PersonalAttribute } from "../gen/causeway/record/v1/parts_pb.ts";
import type { PolicyEngine } from "../policy/ports.ts";
import type { AttributeOpening } from "../policy/replay.ts";
import type { verifyBatch } from "../registry/verify-batch.ts";

export interface ReplayOptions {
  /** 32 bytes: the one thing that is trusted. */
  readonly networkId: Uint8Array;
  readonly verifier: Verifier;
  /**
   * `integrity` verifies tree, checkpoints, chains, signatures, registry and blobs; `full` also evaluates
   * every decision again and matches the records of both sides.
   */
  readonly depth: "integrity" | "full";
  /** Decides again; without it decisions are not checked, which the result says. */
  readonly engine?: PolicyEngine;
  /** A note of this network obtained elsewhere and later: without one freshness is not shown. */
  readonly laterCheckpoint?: Uint8Array;
  /** What opens commitments to personal attributes. */
  readonly opening?: (attribute: PersonalAttribute) => AttributeOpening | undefined;
  /**
   * In the place of `verifyBatch`: one that remembers what it has verified, so that a ledger that is replayed
   * again and again is not verified from its start each time. What it gives is taken as verified.
   */
  readonly verifyBatch?: typeof verifyBatch;
  /** Called after each batch with the size so far. */
  readonly onBatch?: (size: bigint) => void;
}
