import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { Header } from "../../gen/causeway/record/v1/header_pb.ts";
import { apply } from "../../registry/apply.ts";
import type { RegistryState } from "../../registry/state.ts";
import { verifyBatch } from "../../registry/verify-batch.ts";
import type { SealedBatch } from "../ports.ts";
import type { VoidRecord } from "../store/store.ts";

/** What the registry made of one batch. */
export type FoldedBatch =
  | {
      readonly kind: "accepted";
      readonly header: Header;
      readonly leafHash: Uint8Array;
      readonly isGovernance: boolean;
      /** The registry after it. */
      readonly state: RegistryState;
      readonly voids: readonly VoidRecord[];
    }
  | { readonly kind: "rejected"; readonly reason: ReasonCode };

/** Verifies one batch against the registry before it and applies it as the next index. */
export async function foldBatch(options: {
  readonly state: RegistryState;
  readonly batch: SealedBatch;
  /** Root of the first `size` leaves, for sizes up to that of `state`. */
  readonly rootAt: (size: bigint) => Uint8Array | undefined;
  readonly verifier: Verifier;
}): Promise<FoldedBatch> {
  const { state, batch, verifier } = options;
  const verified = await verifyBatch(state, batch, verifier);
  if (verified.kind === "rejected") return verified;
  const applied = apply(state, verified, state.size, options.rootAt);
  if (applied.kind === "rejected") return applied;
  const { header, leafHash, recordKind } = verified;
  return {
    kind: "accepted",
    header,
    leafHash,
    isGovernance: recordKind === "governance",
    state: applied.state,
    voids: applied.voids,
  };
}
