/**
 * What a consumer got of providers in-band, kept until it is final on the ledger: leaf, record and path of
 * each receipt, Opened, refusal and closing. What is overdue there it reports as `ReceiptMissing`, one
 * record each; another leaf at the same place is for the report of an equivocation.
 *
 * Leaves are held in memory, records in a store on disk that is written within `heldBufferMs`: a killed
 * process may lose the last of them, and its own acknowledgement still names the receipt that is missing.
 */
import { emptyBytes } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { createMessage } from "../base/create-message.ts";
import { missingReportsInFlightMax } from "../base/limits.ts";
import { RecordSchema } from "../gen/causeway/record/v1/record_pb.ts";
import type { HeldRecord, HeldRecords } from "../ledger/held/held.ts";
import type { Sealer } from "../ledger/ports.ts";
import { leafHash as hashOfLeaf } from "../merkle/hash.ts";
import { formatHandle } from "../record/handle.ts";
import type { RecordProof } from "../record/proof.ts";
import { encodeRecord } from "../record/record.ts";
import type { HeldLeaf, HeldLeaves } from "./held-leaves.ts";

export interface MissingReceiptsPorts {
  readonly leaves: HeldLeaves;
  readonly store: Omit<HeldRecords, "close">;
  readonly sealer: Sealer;
  readonly clock: Pick<Clock, "nowMs">;
  /** Whether the journal's own state has this key. */
  readonly hasState: (key: string) => boolean;
  /** Another leaf is final at the place of this one, which stays in the store until `forget` is told. */
  onForked(held: HeldLeaf): void;
  /** Something could not be reported, and is tried again with the next final checkpoint. */
  onFailure(error: unknown): void;
}

interface Overdue {
  readonly held: HeldLeaf;
  readonly sinceMs: number;
}

/** Key of the journal's state that says that a record was reported. */
export function missingStateKey(leafHash: Uint8Array, position: number): string {
  return `missing/${formatHandle(leafHash, position)}`;
}

export class MissingReceipts {
  readonly #ports: MissingReceiptsPorts;
  readonly #listener: Parameters<HeldLeaves["hold"]>[2];
  #settled: Uint8Array[] = [];
  #overdue: Overdue[] = [];
  #reporting: Promise<void> | undefined;

  constructor(ports: MissingReceiptsPorts) {
    this.#ports = ports;
    this.#listener = {
      final: ({ leafHash }) => this.#settled.push(leafHash),
      forked: (held) => ports.onForked(held),
      overdue: (held, sinceMs) => this.#overdue.push({ held, sinceMs }),
    };
  }

  /** Takes over what an earlier start held. */
  async load(): Promise<void> {
    const { leaves, store } = this.#ports;
    for (const { leaf, leafHash } of await store.leaves()) {
      leaves.hold(leaf, leafHash, this.#listener);
    }
  }

  /** Records of another gateway have come in-band, and the proof of each is valid. */
  add(...proofs: readonly (RecordProof | undefined)[]): void {
    for (const proof of proofs) {
      if (proof === undefined) continue;
      const { leaf, record, position, path } = proof;
      const leafHash = hashOfLeaf(leaf);
      const held = this.#ports.leaves.hold(leaf, leafHash, this.#listener);
      this.#ports.store.put({ leafHash, leaf, record, position, path });
      // What its leaf held besides is reported already.
      if (held.overdueSinceMs !== undefined) {
        this.#overdue.push({ held, sinceMs: held.overdueSinceMs });
      }
    }
  }

  /** What contradicts a leaf is on record: it needs to be held no longer. */
  forget(leafHash: Uint8Array): void {
    this.#settled.push(leafHash);
  }

  /** After each final checkpoint, once the leaves have been judged. */
  onFinal(): void {
    if (this.#settled.length > 0) this.#ports.store.remove(this.#settled);
    this.#settled = [];
    if (this.#reporting !== undefined) return;
    this.#reporting = this.#report()
      .catch((error: unknown) => this.#ports.onFailure(error))
      .finally(() => {
        this.#reporting = undefined;
      });
  }

  async #report(): Promise<void> {
    for (;;) {
      const [next] = this.#overdue;
      if (next === undefined) return;
      const rows = await this.#ports.store.get(next.held.leafHash);
      for (let at = 0; at < rows.length; at += missingReportsInFlightMax) {
        const group = rows.slice(at, at + missingReportsInFlightMax);
        await Promise.all(group.map((row) => this.#seal(row, next.sinceMs)));
      }
      this.#overdue.shift();
    }
  }

  async #seal(
    { leafHash, leaf, record, position, path }: HeldRecord,
    sinceMs: number,
  ): Promise<void> {
    const { clock, hasState, sealer } = this.#ports;
    const key = missingStateKey(leafHash, position);
    if (hasState(key)) return;
    const value = { leaf, record, position, path: [...path], since: BigInt(sinceMs) };
    await sealer.seal({
      kind: "evidence",
      record: encodeRecord(
        createMessage(RecordSchema, { body: { case: "receiptMissing", value } }),
      ),
      decidedAtMs: clock.nowMs(),
      states: [{ key, value: emptyBytes }],
    });
  }
}
