/**
 * Own acknowledgements that are not final: a link that ends may have taken some with it, so on a new link
 * to the same provider they are sent again. The provider takes one that it has had already for what it is.
 *
 * They are kept in memory, the newest of each provider. After a restart they come from the journal, whose
 * batches that are not final hold them, each with the gateway that its receipt is of; where that is not
 * known, because the process was killed before anything of the receipt was kept, every peer is sent it.
 */
import { toHex } from "../base/bytes.ts";
import { acknowledgementsKeptMax } from "../base/limits.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { JournalBatch } from "../ledger/journal/store.ts";
import type { Replica, SealedRecord } from "../ledger/ports.ts";
import { treeWithPaths } from "../merkle/batch-tree.ts";
import { openRecord, recordHash } from "../record/record.ts";
import { proofOf } from "./frames.ts";
import type { LinkEnd } from "./ports.ts";

export interface SentPorts {
  readonly replica: Pick<Replica, "indexOfLeaf">;
}

type Kept = Omit<SealedRecord, "replaced">;

export class SentAcknowledgements {
  readonly #ports: SentPorts;
  readonly #max: number;
  /** In the order of the own chain, by the provider's gateway; under "" those whose provider is not known. */
  readonly #byPeer = new Map<string, Kept[]>();

  constructor(ports: SentPorts, max: number = acknowledgementsKeptMax) {
    this.#ports = ports;
    this.#max = max;
  }

  get count(): number {
    return [...this.#byPeer.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Takes over what an earlier start sealed; `providerOf` names the gateway of a receipt by its leaf hash. */
  load(
    notFinal: readonly Pick<JournalBatch, "leaf" | "leafHash" | "records">[],
    providerOf: (leafHash: Uint8Array) => string | undefined,
  ): void {
    for (const batch of notFinal) {
      const { leaf, leafHash } = batch;
      const { paths } = treeWithPaths(batch.records.map(recordHash));
      for (const [position, record] of batch.records.entries()) {
        const { body } = openRecord(record);
        if (body.case !== "acknowledgement" || body.value.receipt === undefined) continue;
        const peer = providerOf(body.value.receipt.leafHash) ?? "";
        this.#keep(peer, { record, position, path: paths[position] ?? [], leaf, leafHash });
      }
    }
  }

  /** An acknowledgement is durable and on its way to `peer`. */
  add(peer: string, sealed: SealedRecord): void {
    this.#keep(peer, sealed);
  }

  /** What a new link to its peer is sent first, each in a frame of exchange 0. */
  forLink({ peer }: Pick<LinkEnd, "peer">): readonly Proof[] {
    const kept = [...(this.#byPeer.get("") ?? []), ...(this.#byPeer.get(peer) ?? [])];
    return kept.map((sealed) => proofOf({ ...sealed, replaced: false }));
  }

  /** Forgets what lies below a final size. The own chain becomes final in its order. */
  final(size: bigint): void {
    for (const [peer, kept] of this.#byPeer) {
      const places = new Map<string, boolean>();
      const isFinal = ({ leafHash }: Kept): boolean => {
        const key = toHex(leafHash);
        const known = places.get(key);
        if (known !== undefined) return known;
        const index = this.#ports.replica.indexOfLeaf(leafHash);
        const is = index !== undefined && index < size;
        places.set(key, is);
        return is;
      };
      const left = kept.findIndex((sealed) => !isFinal(sealed));
      if (left === -1) this.#byPeer.delete(peer);
      else kept.splice(0, left);
    }
  }

  #keep(peer: string, sealed: Kept): void {
    const kept = this.#byPeer.get(peer);
    if (kept === undefined) this.#byPeer.set(peer, [sealed]);
    else {
      kept.push(sealed);
      // Cut in groups: one at a time would move all others each time.
      if (kept.length >= 2 * this.#max) kept.splice(0, kept.length - this.#max);
    }
  }
}
