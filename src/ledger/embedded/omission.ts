/** Whether a tree leaves out a batch that it could hold. Pure over what the replica tells. DESIGN.md section 7 (omission). */
import { equalBytes } from "../../base/bytes.ts";
import { apply } from "../../registry/apply.ts";
import type { RegistryState } from "../../registry/state.ts";
import { structureFault } from "../../registry/structure.ts";
import { isVerifiedFor, type VerifiedBatch } from "../../registry/verify-batch.ts";
import type { SealedBatch } from "../ports.ts";
import { namedBlobs } from "./blob-names.ts";

/** What is asked of the own replica, which has at least the size in question. */
export interface LedgerLook {
  state(): RegistryState;
  rootAt(size: bigint): Uint8Array | undefined;
  indexOfLeaf(leafHash: Uint8Array): bigint | undefined;
  /** Bytes of a blob that is at hand. */
  blobSize(sha256: Uint8Array): number | undefined;
}

const noLeaf = new Uint8Array(32);

/**
 * Whether the tree of `size` leaves is without this batch although its next leaf could be this one. `false`
 * where it cannot be told for sure: a witness that is wrong here would hold up every other batch.
 */
export function isOmitted(
  { batch, verified }: { readonly batch: SealedBatch; readonly verified: VerifiedBatch },
  size: bigint,
  ledger: LedgerLook,
): boolean {
  const index = ledger.indexOfLeaf(verified.leafHash);
  if (index !== undefined && index < size) return false;
  const state = ledger.state();
  if (!isKeyKnown(state, verified, size) || verified.header.seenSize > size) return false;
  // It stands further up: so it could have stood here, once what it follows does.
  if (index !== undefined) return isPrecededBelow(verified, size, ledger);
  const tip = state.chains.get(verified.header.gateway);
  if (tip !== undefined && tip.index >= size) return false;
  return areBlobsHeld(batch, verified, ledger) && couldStand(state, verified, size, ledger);
}

/** Nothing of its gateway stands at or above `size`, so the chain is today what it was there. */
function couldStand(
  state: RegistryState,
  verified: VerifiedBatch,
  size: bigint,
  ledger: LedgerLook,
): boolean {
  const rootAt = (at: bigint): Uint8Array | undefined => ledger.rootAt(at);
  if (structureFault(state, verified, size, rootAt) !== undefined) return false;
  const { gateway, epoch } = verified.header;
  if (epoch === (state.chains.get(gateway)?.epoch ?? 0n)) return true;
  // A later epoch begins only where its first record has effect: any member could make one that never has.
  if (!isVerifiedFor(verified, state)) return false;
  return apply(state, verified, state.size, rootAt).kind === "applied";
}

function isKeyKnown(
  state: RegistryState,
  { header, batchKey }: VerifiedBatch,
  size: bigint,
): boolean {
  const facts = state.gateways.get(header.gateway) ?? [];
  return facts.some((fact) => fact.standing.since < size && equalBytes(fact.batchKey, batchKey));
}

function isPrecededBelow({ header }: VerifiedBatch, size: bigint, ledger: LedgerLook): boolean {
  if (equalBytes(header.prev, noLeaf)) return true;
  const before = ledger.indexOfLeaf(header.prev);
  return before !== undefined && before < size;
}

/** A sequencer refuses a batch whose blobs nobody put: that is its sender's fault. */
function areBlobsHeld(
  { records }: SealedBatch,
  { recordKind }: VerifiedBatch,
  ledger: LedgerLook,
): boolean {
  if (recordKind === "evidence") return true;
  return namedBlobs(records).every(({ sha256, bytes }) => ledger.blobSize(sha256) === bytes);
}
