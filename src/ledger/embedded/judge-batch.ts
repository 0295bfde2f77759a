import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { RegistryState } from "../../registry/state.ts";
import type { SealedBatch } from "../ports.ts";
import type { BatchRow } from "../store/store.ts";
import { namedBlobs } from "./blob-names.ts";
import { formatBody } from "./bodies.ts";
import { foldBatch } from "./fold.ts";
import type { GrowingTree } from "./growing-tree.ts";

/** What became of one batch that was to be included. */
export type Inclusion =
  | { readonly kind: "included"; readonly index: bigint }
  | { readonly kind: "rejected"; readonly reason: ReasonCode; readonly atSize: bigint };

/** A batch that was judged as the next one, and what storing it takes when it is included. */
export type JudgedBatch =
  | {
      readonly inclusion: Extract<Inclusion, { kind: "included" }>;
      readonly row: BatchRow;
      /** The registry after it. */
      readonly state: RegistryState;
    }
  | { readonly inclusion: Extract<Inclusion, { kind: "rejected" }>; readonly row?: undefined };

/** Folds a batch as the next one of `state`; its leaf is appended to the tree when it is accepted. */
export async function judgeBatch(
  { state, tree }: { readonly state: RegistryState; readonly tree: GrowingTree },
  batch: SealedBatch,
  verifier: Verifier,
): Promise<JudgedBatch> {
  const index = state.size;
  const rootAt = (size: bigint): Uint8Array | undefined => tree.rootAt(size);
  const folded = await foldBatch({ state, batch, rootAt, verifier });
  if (folded.kind === "rejected") {
    return { inclusion: { kind: "rejected", reason: folded.reason, atSize: index } };
  }
  const { header, leafHash, voids } = folded;
  const row: BatchRow = {
    index,
    leaf: batch.leaf,
    leafHash,
    body: formatBody(batch.records),
    place: { gateway: header.gateway, epoch: header.epoch, seq: header.seq },
    registryDigest: folded.state.digest,
    nodes: tree.append(leafHash),
    voids,
    blobs: folded.isGovernance ? namedBlobs(batch.records).map(({ sha256 }) => sha256) : [],
  };
  return { inclusion: { kind: "included", index }, row, state: folded.state };
}
