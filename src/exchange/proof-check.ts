/**
 * What a gateway checks of a record that the other side sends in-band: the path to the header, the
 * header's key at the own replica, its signature, and the ledger that it has seen.
 */
import { emptyBytes, equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Record as LedgerRecord } from "../gen/causeway/record/v1/record_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import { verifyRecordProof } from "../record/proof.ts";
import type { LeafCache } from "./leaf-cache.ts";
import type { LinkEnd } from "./ports.ts";

export interface CheckedProof {
  readonly record: LedgerRecord;
  readonly recordHash: Uint8Array;
  readonly header: Header;
  readonly leafHash: Uint8Array;
  readonly position: number;
}

export type ProofCheck =
  | { readonly kind: "valid"; readonly proof: CheckedProof }
  /** The bytes, the path or the signature are wrong: there is no record. */
  | { readonly kind: "invalid" }
  /** Nothing on the ledger that is final here binds the header's key to the gateway. */
  | { readonly kind: "key-unknown"; readonly proof: CheckedProof };

/** Checks path, key and signature of a record of `gateway`. */
export function checkProof(
  proof: Proof | undefined,
  gateway: string,
  replica: Replica,
  leaves: LeafCache,
): ProofCheck {
  if (proof === undefined) return { kind: "invalid" };
  try {
    const { record, recordHash, position, leaf } = verifyRecordProof(proof);
    const { header, leafHash } = leaf;
    const view = replica.view();
    if (header.gateway !== gateway || !equalBytes(header.network, view.network?.id ?? emptyBytes)) {
      return { kind: "invalid" };
    }
    const checked: CheckedProof = { record, recordHash, header, leafHash, position };
    const key = view.batchKey(gateway, header.key);
    if (key === undefined) return { kind: "key-unknown", proof: checked };
    return leaves.verify(leaf, key) ? { kind: "valid", proof: checked } : { kind: "invalid" };
  } catch (error) {
    if (error instanceof CausewayError) return { kind: "invalid" };
    throw error;
  }
}

/** Whether the ledger that a header names is the own one, as far as it is known here. */
export function checkSeen(
  header: Header,
  replica: Replica,
  link: LinkEnd,
): "same" | "fork" | "ahead" {
  const finalSize = replica.final()?.size ?? 0n;
  const { seenSize, seenRoot } = header;
  const root = seenSize <= finalSize ? replica.rootAt(seenSize) : link.shownRoot(seenSize);
  if (root === undefined) return "ahead";
  return equalBytes(root, seenRoot) ? "same" : "fork";
}
