/** The one ledger of a schedule: the real fold in one order, without the machines that agree on it, which have a simulation of their own. */
import { toHex } from "../../src/base/bytes.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import type { FinalCheckpoint, IncludedBatch, SealedBatch } from "../../src/ledger/ports.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  rangeRoot,
} from "../../src/merkle/compact-range.ts";
import { kindOfBatch, openBatch } from "../../src/record/batch.ts";
import { verifyLeaf } from "../../src/record/leaf.ts";
import { recordHash } from "../../src/record/record.ts";
import { apply } from "../../src/registry/apply.ts";
import { batchKeyOf } from "../../src/registry/keys.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import type { RecordFact, VerifiedBatch } from "../../src/registry/verify-batch.ts";
import { fastVerifier, remember } from "./exchange-crypto.ts";
import { finalNote, type Universe } from "./exchange-universe.ts";

export type LedgerEvent =
  | { readonly kind: "batch"; readonly index: number }
  | { readonly kind: "final"; readonly final: FinalCheckpoint; readonly isHeartbeat: boolean };

export class SimLedger {
  readonly #universe: Universe;
  readonly #facts: ReadonlyMap<string, RecordFact>;
  readonly batches: IncludedBatch[];
  /** After each size, from 0. */
  readonly states: RegistryState[];
  readonly roots: Uint8Array[];
  readonly #indexes = new Map<string, number>();
  /** One for each final size, in order. */
  readonly finals: FinalCheckpoint[];
  /** What an export holds. */
  readonly entries: ExportEntry[];
  /** What replicas follow, in order. */
  readonly events: LedgerEvent[] = [];
  readonly #listeners: (() => void)[] = [];
  #range: CompactRange = emptyRange;
  /** Nothing is included, and nothing becomes final. */
  isStalled = false;

  constructor(universe: Universe) {
    const { ledger, entries, finals, grants } = universe;
    this.#universe = universe;
    this.entries = [...entries];
    this.finals = [...finals];
    this.states = [...ledger.states];
    this.roots = [];
    for (let size = 0n; size <= ledger.size; size++) {
      this.roots.push(ledger.rootAt(size) as Uint8Array);
    }
    this.batches = ledger.batches.map((batch, index) => ({ ...batch, index: BigInt(index) }));
    for (const { leafHash, index } of this.batches) {
      this.#range = appendLeaf(this.#range, leafHash).range;
      this.#indexes.set(toHex(leafHash), Number(index));
    }
    this.#facts = new Map(
      grants.map(({ revocation, fact }) => [toHex(recordHash(revocation)), fact]),
    );
  }

  get size(): number {
    return this.batches.length;
  }

  get state(): RegistryState {
    return this.states.at(-1) as RegistryState;
  }

  get final(): FinalCheckpoint {
    return this.finals.at(-1) as FinalCheckpoint;
  }

  indexOfLeaf(leafHash: Uint8Array): number | undefined {
    return this.#indexes.get(toHex(leafHash));
  }

  onEvent(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Gives a batch its place. `refused` with the reason of the fold, `later` while the ledger stands still. */
  submit({ leaf, records }: SealedBatch): "included" | "later" | { readonly refused: string } {
    const opened = openBatch({ leaf, records });
    if (this.indexOfLeaf(opened.leafHash) !== undefined) return "included";
    if (this.isStalled) return "later";
    const { state } = this;
    const { header } = opened;
    const batchKey = batchKeyOf(state, header.gateway, header.key);
    if (batchKey === undefined) return { refused: "KEY_UNKNOWN" };
    verifyLeaf({ leaf: opened, publicKey: batchKey, verifier: fastVerifier });
    const recordKind = kindOfBatch(header);
    const facts =
      recordKind === "evidence"
        ? []
        : opened.recordHashes.map(
            (hash): RecordFact =>
              this.#facts.get(toHex(hash)) ?? { kind: "void", reason: "NOT_SUPPORTED" },
          );
    const verified: VerifiedBatch = Object.assign(opened, {
      kind: "verified" as const,
      recordKind,
      batchKey,
      facts,
      stateSize: state.size,
    });
    // Facts of governance are given here, and left to the auditor to work out.
    if (recordKind === "evidence") remember(leaf, records, verified);
    const applied = apply(state, verified, state.size, (size) => this.roots[Number(size)]);
    if (applied.kind === "rejected") return { refused: applied.reason };
    const index = this.size;
    const { leafHash } = opened;
    this.batches.push({ leaf, records, header, leafHash, index: BigInt(index) });
    this.states.push(applied.state);
    this.#range = appendLeaf(this.#range, leafHash).range;
    this.roots.push(rangeRoot(this.#range));
    this.#indexes.set(toHex(leafHash), index);
    this.entries.push({ kind: "batch", leaf, records });
    this.#tell({ kind: "batch", index });
    return "included";
  }

  /** A quorum cosigns the newest size: for the first time, or as a heartbeat when the last is old enough. */
  cosign(nowMs: number, heartbeatMs: number): void {
    if (this.isStalled) return;
    // Cosignature times are whole seconds.
    const timeMs = Math.floor(nowMs / 1000) * 1000;
    const size = BigInt(this.size);
    const { final } = this;
    if (final.size === size) {
      const newest = this.events.findLast((event) => event.kind === "final")?.final ?? final;
      if (timeMs - newest.timeMs < heartbeatMs) return;
      this.#tell({ kind: "final", final: { ...final, timeMs }, isHeartbeat: true });
      return;
    }
    const root = this.roots[this.size] as Uint8Array;
    const note = finalNote(this.#universe.network, { size, root }, timeMs);
    const next = { size, root, note, timeMs };
    this.finals.push(next);
    this.entries.push({ kind: "note", note, digest: this.state.digest });
    this.#tell({ kind: "final", final: next, isHeartbeat: false });
  }

  #tell(event: LedgerEvent): void {
    this.events.push(event);
    for (const listener of this.#listeners) listener();
  }
}
