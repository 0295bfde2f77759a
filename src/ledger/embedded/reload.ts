import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { initialState } from "../../registry/initial.ts";
import { decodeSnapshot } from "../../registry/snapshot.ts";
import type { RegistryState } from "../../registry/state.ts";
import type { LedgerReader, LedgerWriter, StoredBatch } from "../store/store.ts";
import { parseBody } from "./bodies.ts";
import { readFinal, readHead } from "./checkpoints.ts";
import { foldBatch } from "./fold.ts";
import { GrowingTree } from "./growing-tree.ts";
import type { LedgerNetwork } from "./network.ts";
import { type Trust, trustOf } from "./trust.ts";

/**
 * The registry after everything stored: the snapshot, and the fold of what came after it.
 * Throws STORAGE_FAILED when what is stored does not give the stored digests.
 */
export async function reloadState(options: {
  readonly network: LedgerNetwork;
  readonly store: LedgerWriter;
  readonly verifier: Verifier;
}): Promise<RegistryState> {
  const { network, verifier } = options;
  const { reader } = options.store;
  const size = reader.size();
  const state = await refoldTo(size, { network, reader, verifier });
  assertHeads(new GrowingTree(reader, size), trustOf(network, state), options);
  return state;
}

/**
 * The registry after the first `size` leaves of the store.
 * Throws STORAGE_FAILED when what is stored does not give the stored digests.
 */
export async function refoldTo(
  size: bigint,
  options: {
    readonly network: LedgerNetwork;
    readonly reader: LedgerReader;
    readonly verifier: Verifier;
  },
): Promise<RegistryState> {
  const { reader, verifier } = options;
  const snapshot = reader.snapshot(size);
  // Another release's snapshot is none: everything is folded again.
  const start = snapshot === undefined ? undefined : decodeSnapshot(snapshot.state);
  let state = start ?? initialState(options.network.id);
  assertStored(state, reader);
  const tree = new GrowingTree(reader, size);
  while (state.size < size) {
    const page = { from: state.size, countMax: 64, bytesMax: 1 << 20 };
    for (const stored of reader.batches(page)) {
      if (state.size < size) state = await refold(state, stored, { tree, verifier });
    }
    assertStored(state, reader);
  }
  return state;
}

async function refold(
  state: RegistryState,
  stored: StoredBatch,
  { tree, verifier }: { readonly tree: GrowingTree; readonly verifier: Verifier },
): Promise<RegistryState> {
  const folded = await foldBatch({
    state,
    batch: { leaf: stored.leaf, records: parseBody(stored.body) },
    rootAt: (size) => (size > stored.index ? undefined : tree.rootAt(size)),
    verifier,
  });
  const fields = { index: String(stored.index) };
  if (folded.kind === "rejected") {
    throw new CausewayError("STORAGE_FAILED", `stored batch ${stored.index} is not accepted`, {
      fields: { ...fields, reason: folded.reason },
    });
  }
  if (equalBytes(folded.leafHash, stored.leafHash)) return folded.state;
  const text = `batch ${stored.index} is stored under another leaf hash`;
  throw new CausewayError("STORAGE_FAILED", text, { fields });
}

/** What is stored is what the newest signed head and the newest final checkpoint that were held say. */
function assertHeads(
  tree: GrowingTree,
  trust: Trust,
  { store: { reader }, verifier }: { readonly store: LedgerWriter; readonly verifier: Verifier },
): void {
  const head = reader.head();
  if (head !== undefined) assertHead(tree, readHead(trust, head.note, verifier));
  const final = reader.heartbeat();
  if (final !== undefined) assertHead(tree, readFinal(trust, final, { verifier }));
}

function assertHead(
  tree: GrowingTree,
  head: { readonly size: bigint; readonly root: Uint8Array },
): void {
  const root = tree.rootAt(head.size);
  if (root !== undefined && equalBytes(root, head.root)) return;
  const text =
    root === undefined
      ? `the store ends before batch ${tree.size}, and held ${head.size} batches`
      : `the tree of the first ${head.size} batches is not the one that was signed`;
  const fields = root === undefined ? { index: String(tree.size) } : { size: String(head.size) };
  throw new CausewayError("STORAGE_FAILED", text, { fields });
}

function assertStored(state: RegistryState, reader: LedgerReader): void {
  if (state.size === 0n) return;
  const digest = reader.registryDigest(state.size - 1n);
  if (digest !== undefined && equalBytes(digest, state.digest)) return;
  throw new CausewayError("STORAGE_FAILED", `the registry at ${state.size} is not the stored one`);
}
