/** What a joining member checks of a bootstrap: its ledger up to a final checkpoint, folded from the first leaf. */
import { equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { foldBatch } from "../../src/ledger/embedded/fold.ts";
import type { LedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { appendLeaf, emptyRange, rangeRoot } from "../../src/merkle/compact-range.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { tileWidth, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { initialState } from "../../src/registry/initial.ts";
import type { RegistryState } from "../../src/registry/state.ts";
import type { LedgerHttp } from "./ledger-http.ts";

export interface VerifiedLedger {
  /** The registry after the last leaf. */
  readonly state: RegistryState;
  readonly records: number;
  /** Governance records without effect. */
  readonly voids: number;
}

/**
 * Folds every batch up to a final checkpoint and compares the root: bytes, signatures, chains, rules.
 * Decisions and what the sides of an exchange say of each other are for `audit replay`.
 *
 * @throws CausewayError with the reason for which a batch is refused and its `index`; `PROOF_INVALID`
 * when the leaves are not those of the checkpoint; what reading throws.
 */
export async function verifyLedger(
  http: LedgerHttp,
  network: LedgerNetwork,
  options: {
    readonly final: { readonly size: bigint; readonly root: Uint8Array };
    readonly verifier: Verifier;
  },
): Promise<VerifiedLedger> {
  const { final, verifier } = options;
  const roots = [rangeRoot(emptyRange)];
  let range = emptyRange;
  let [records, voids] = [0, 0];
  let state = initialState(network.id);
  for await (const { index, leaf } of leavesUpTo(http, final.size)) {
    const batch = { leaf, records: await http.records(index) };
    const rootAt = (size: bigint): Uint8Array | undefined => roots[Number(size)];
    const folded = await foldBatch({ state, batch, rootAt, verifier });
    if (folded.kind === "rejected") throw refused(folded.reason, index);
    ({ range } = appendLeaf(range, leafHash(leaf)));
    roots.push(rangeRoot(range));
    ({ state } = folded);
    records += batch.records.length;
    voids += folded.voids.length;
  }
  if (equalBytes(rangeRoot(range), final.root)) return { state, records, voids };
  throw new CausewayError("PROOF_INVALID", "the leaves are not those of the final checkpoint");
}

async function* leavesUpTo(
  http: LedgerHttp,
  size: bigint,
): AsyncGenerator<{ readonly index: bigint; readonly leaf: Uint8Array }> {
  for (let bundle = 0n; bundle * BigInt(tileWidth) < size; bundle += 1n) {
    const leaves = await http.leaves(bundle, tileWidthAt("entries", bundle, size));
    for (const [i, leaf] of leaves.entries()) {
      yield { index: bundle * BigInt(tileWidth) + BigInt(i), leaf };
    }
  }
}

function refused(code: CausewayError["code"], index: bigint): CausewayError {
  const message =
    index === 0n ? "batch 0 does not found this network" : `the rules refuse the batch at ${index}`;
  return new CausewayError(code, message, { fields: { index: String(index) } });
}
