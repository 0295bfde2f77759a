/** Receipts that this provider has released and that the consumer has not acknowledged yet. */
import { equalBytes, toHex } from "../base/bytes.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Replica, SealedRecord } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import { recordHash } from "../record/record.ts";
import type { LeafCache } from "./leaf-cache.ts";
import type { LinkEnd } from "./ports.ts";
import { checkProof } from "./proof-check.ts";

/** Receipts that are remembered; beyond it the oldest is forgotten here, and stays on the ledger. */
const receiptsMax = 100_000;

interface Released {
  readonly peer: string;
  readonly recordHash: Uint8Array;
}

export class UnacknowledgedReceipts {
  readonly #released = new Map<string, Released>();

  get count(): number {
    return this.#released.size;
  }

  released(peer: string, { leafHash, position, record }: SealedRecord): void {
    if (this.#released.size >= receiptsMax) {
      this.#released.delete(this.#released.keys().next().value ?? "");
    }
    this.#released.set(formatHandle(leafHash, position), { peer, recordHash: recordHash(record) });
  }

  /**
   * Checks the proof of an acknowledgement as a consumer checks a receipt's, and marks the receipt that it
   * names as answered. `false` when it is not valid or answers nothing that this peer was sent.
   */
  acknowledged(
    proof: Proof | undefined,
    link: LinkEnd,
    context: { readonly replica: Replica; readonly leaves: LeafCache },
  ): boolean {
    const checked = checkProof(proof, link.peer, context.replica, context.leaves);
    if (checked.kind !== "valid" || checked.proof.record.body.case !== "acknowledgement")
      return false;
    const { receipt, receiptRecord } = checked.proof.record.body.value;
    if (receipt === undefined) return false;
    const handle = `${toHex(receipt.leafHash)}/${receipt.position}`;
    const known = this.#released.get(handle);
    if (known?.peer !== link.peer || !equalBytes(known.recordHash, receiptRecord)) return false;
    this.#released.delete(handle);
    return true;
  }
}
