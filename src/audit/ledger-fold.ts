/**
 * The integrity of a ledger, item by item: structure, signatures and chains through the one fold of the
 * registry, the tree, and every frozen note against the tree's own root.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { readQuorum } from "../ledger/embedded/checkpoints.ts";
import type { QuorumCheckpoint } from "../note/quorum.ts";
import { apply, type Applied } from "../registry/apply.ts";
import { initialState } from "../registry/initial.ts";
import type { RegistryState, TermFact } from "../registry/state.ts";
import { type VerifiedBatch, verifyBatch } from "../registry/verify-batch.ts";
import type { ExportEntry } from "./export-file.ts";
import { type FinalSize, FinalSizes } from "./final-sizes.ts";
import type { Finding } from "./findings.ts";
import { LedgerTree } from "./ledger-tree.ts";
import { judgeOpening } from "./term-opening.ts";

/** A batch that has its place. */
export interface FoldedBatch {
  readonly index: bigint;
  readonly batch: VerifiedBatch;
  readonly applied: Applied;
  readonly recordBytes: readonly Uint8Array[];
}

/** What became of one item: `broken` ends the replay, for nothing behind it has a place. */
export type FoldStep =
  | {
      readonly kind: "batch";
      readonly folded: FoldedBatch;
      readonly findings: readonly Finding[];
    }
  | { readonly kind: "final"; readonly final: FinalSize; readonly findings: readonly Finding[] }
  | { readonly kind: "other" }
  | { readonly kind: "broken"; readonly finding: Finding };

export class LedgerFold {
  readonly tree: LedgerTree = new LedgerTree();
  readonly finals: FinalSizes = new FinalSizes();
  readonly #networkId: Uint8Array;
  readonly #verifier: Verifier;
  readonly #verifyBatch: typeof verifyBatch;
  #state: RegistryState;
  #startsNotShown = 0;
  #digestsDiverge = false;

  /** `networkId` is all that is trusted; `verify` is how a batch is verified before it is folded. */
  constructor(networkId: Uint8Array, verifier: Verifier, verify: typeof verifyBatch = verifyBatch) {
    this.#networkId = networkId;
    this.#verifier = verifier;
    this.#verifyBatch = verify;
    this.#state = initialState(networkId);
  }

  /** The registry after every batch so far. */
  get state(): RegistryState {
    return this.#state;
  }

  /** Terms whose start cannot be checked: their last sequencer had signed two histories. */
  get startsNotShown(): number {
    return this.#startsNotShown;
  }

  /** The term whose sequencer put the last of the first `size` leaves in its place. */
  termAt(size: bigint): bigint {
    return this.#state.terms.findLast(({ start }) => start < size)?.term ?? 0n;
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
        return this.#takeNote(entry);
    }
  }

  async #takeBatch(bytes: Extract<ExportEntry, { kind: "batch" }>): Promise<FoldStep> {
    const index = this.#state.size;
    const batch = await this.#verifyBatch(this.#state, bytes, this.#verifier);
    if (batch.kind === "rejected") return this.#broken("BATCH_REJECTED", { reason: batch.reason });
    const applied = apply(this.#state, batch, index, this.tree.rootAt);
    if (applied.kind === "rejected") {
      return this.#broken("BATCH_REJECTED", { reason: applied.reason }, batch.header.gateway);
    }
    const before = this.#state;
    this.#state = applied.state;
    this.tree.append(batch.leafHash);
    const folded = { index, batch, applied, recordBytes: bytes.records };
    const opened = applied.state.terms.length > before.terms.length && index > 0n;
    const findings = opened ? this.#judgeOpening(folded, before) : [];
    return { kind: "batch", folded, findings };
  }

  #judgeOpening(folded: FoldedBatch, before: RegistryState): readonly Finding[] {
    const { tree, finals } = this;
    const term = this.#state.terms.at(-1) as TermFact;
    const ledger = { before, tree, finals, verifier: this.#verifier };
    const { findings, startShown } = judgeOpening(folded, term, ledger);
    if (!startShown) this.#startsNotShown += 1;
    return findings;
  }

  #takeNote({ note, digest }: Extract<ExportEntry, { kind: "note" }>): FoldStep {
    const before = this.finals.newest?.size ?? 0n;
    let checkpoint: QuorumCheckpoint & { readonly term: bigint };
    try {
      const trust = { state: this.#state, skewMs: 0 };
      checkpoint = readQuorum(trust, note, { verifier: this.#verifier, from: before });
    } catch (cause) {
      if (!(cause instanceof CausewayError)) throw cause;
      return this.#broken("NOTE_REJECTED", { reason: cause.code });
    }
    const { size, root, timeMs, term } = checkpoint;
    const fields = { size: String(size) };
    if (size !== this.tree.size || size === before) return this.#broken("NOTE_MISPLACED", fields);
    if (!equalBytes(this.tree.rootAt(size) as Uint8Array, root)) {
      return this.#broken("NOTE_ROOT_DIFFERS", fields);
    }
    const final = { size, timeMs, term };
    const findings = [...this.#judgeTerm(final), ...this.#judgeDigest(final, digest)];
    this.finals.add(final);
    return { kind: "final", final, findings };
  }

  #judgeTerm({ size, term }: FinalSize): readonly Finding[] {
    if (this.termAt(size) <= term) return [];
    return [
      { code: "TERM_OVER", index: size - 1n, fields: { size: String(size), term: String(term) } },
    ];
  }

  /** A digest holds all before it: only the first that diverges says something. */
  #judgeDigest({ size }: FinalSize, digest: Uint8Array | undefined): readonly Finding[] {
    const agrees = digest === undefined || equalBytes(digest, this.#state.digest);
    if (agrees || this.#digestsDiverge) return [];
    this.#digestsDiverge = true;
    const index = this.finals.newest?.size ?? 0n;
    return [{ code: "DIGEST_DIVERGES", index, fields: { size: String(size) } }];
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
