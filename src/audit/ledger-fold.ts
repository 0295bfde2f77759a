/**
 * The integrity of a ledger, item by item: structure, signatures and chains through the one fold of the
 * registry, the tree, and every frozen note against the tree's own root.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { readQuorum } from "../ledger/embedded/checkpoints.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../ledger/embedded/network.ts";
import { trustOf } from "../ledger/embedded/trust.ts";
import type { QuorumCheckpoint } from "../note/quorum.ts";
import { apply, type Applied } from "../registry/apply.ts";
import { initialState } from "../registry/initial.ts";
import type { RegistryState } from "../registry/state.ts";
import { type VerifiedBatch, verifyBatch } from "../registry/verify-batch.ts";
import type { ExportEntry } from "./export-file.ts";
import { FinalSizes } from "./final-sizes.ts";
import type { Finding } from "./findings.ts";
import { LedgerTree } from "./ledger-tree.ts";

/** A batch that has its place. */
export interface FoldedBatch {
  readonly index: bigint;
  readonly batch: VerifiedBatch;
  readonly applied: Applied;
  readonly recordBytes: readonly Uint8Array[];
}

/** What became of one item: `broken` ends the replay, for nothing behind it has a place. */
export type FoldStep =
  | { readonly kind: "batch"; readonly folded: FoldedBatch }
  | { readonly kind: "final"; readonly size: bigint; readonly timeMs: number }
  | { readonly kind: "other" }
  | { readonly kind: "broken"; readonly finding: Finding };

export class LedgerFold {
  readonly tree: LedgerTree = new LedgerTree();
  readonly finals: FinalSizes = new FinalSizes();
  readonly #networkId: Uint8Array;
  readonly #verifier: Verifier;
  #state: RegistryState;
  #network: LedgerNetwork | undefined;

  /** `networkId` is all that is trusted. */
  constructor(networkId: Uint8Array, verifier: Verifier) {
    this.#networkId = networkId;
    this.#verifier = verifier;
    this.#state = initialState(networkId);
  }

  /** The registry after every batch so far. */
  get state(): RegistryState {
    return this.#state;
  }

  /** What checkpoints are verified against; known after batch 0. */
  get network(): LedgerNetwork | undefined {
    return this.#network;
  }

  async take(entry: ExportEntry): Promise<FoldStep> {
    switch (entry.kind) {
      case "header":
        if (equalBytes(entry.network, this.#networkId)) return { kind: "other" };
        return this.#broken("NETWORK_DIFFERS", { network: toHex(entry.network) });
      case "blob":
        return { kind: "other" };
      case "batch":
        return this.#takeBatch(entry);
      case "note":
        return this.#takeNote(entry.note);
    }
  }

  /** The final checkpoint that a note is, under the keys of this network. Throws as `evaluateQuorum` does. */
  readNote(note: Uint8Array): QuorumCheckpoint {
    if (this.#network === undefined) {
      throw new CausewayError("NETWORK_UNKNOWN", "the founding document has not been read");
    }
    const from = this.finals.newest?.size ?? 0n;
    return readQuorum(trustOf(this.#network, this.#state), note, {
      verifier: this.#verifier,
      from,
    });
  }

  async #takeBatch(bytes: Extract<ExportEntry, { kind: "batch" }>): Promise<FoldStep> {
    const index = this.#state.size;
    const batch = await verifyBatch(this.#state, bytes, this.#verifier);
    if (batch.kind === "rejected") return this.#broken("BATCH_REJECTED", { reason: batch.reason });
    const applied = apply(this.#state, batch, index, this.tree.rootAt);
    if (applied.kind === "rejected") {
      return this.#broken("BATCH_REJECTED", { reason: applied.reason }, batch.header.gateway);
    }
    this.#state = applied.state;
    this.tree.append(batch.leafHash);
    if (index === 0n) this.#network = networkOf(batch);
    return { kind: "batch", folded: { index, batch, applied, recordBytes: bytes.records } };
  }

  #takeNote(note: Uint8Array): FoldStep {
    let checkpoint: QuorumCheckpoint;
    try {
      checkpoint = this.readNote(note);
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
      return this.#broken("NOTE_REJECTED", { reason: cause.code });
    }
    const { size, root, timeMs } = checkpoint;
    const fields = { size: String(size) };
    if (size !== this.tree.size || size === this.finals.newest?.size) {
      return this.#broken("NOTE_MISPLACED", fields);
    }
    if (!equalBytes(this.tree.rootAt(size) as Uint8Array, root)) {
      return this.#broken("NOTE_ROOT_DIFFERS", fields);
    }
    this.finals.add({ size, timeMs });
    return { kind: "final", size, timeMs };
  }

  #broken(
    code: Finding["code"],
    fields: Readonly<Record<string, string>>,
    gateway?: string,
  ): FoldStep {
    const finding = { code, index: this.#state.size, fields };
    return {
      kind: "broken",
      finding: gateway === undefined ? finding : { ...finding, gateway },
    };
  }
}

/** The fold took batch 0 only because its first record is the trusted founding document. */
function networkOf({ facts }: VerifiedBatch): LedgerNetwork {
  const [first] = facts;
  if (first?.kind !== "statement") throw new TypeError("batch 0 founds no network");
  return readLedgerNetwork(first.said.payload);
}
