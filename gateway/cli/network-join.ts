/** Joining: a bootstrap is asked for batch 0 and its final checkpoint, and believed in nothing. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  batchBytesMax,
  batchRecordsMax,
  leafBytesMax,
  noteBytesMax,
} from "../../src/base/limits.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { joinLedger } from "../../src/ledger/embedded/founding.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { appendLeaf, emptyRange, rangeRoot } from "../../src/merkle/compact-range.ts";
import { decodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { tileWidth } from "../../src/merkle/tile-path.ts";
import { apply } from "../../src/registry/apply.ts";
import { initialState } from "../../src/registry/initial.ts";
import { verifyBatch } from "../../src/registry/verify-batch.ts";
import { readFounding } from "../self.ts";
import { parseHostPort } from "../tls.ts";
import { journalFile } from "./network-found.ts";
import type { Io } from "./io.ts";

export interface JoinedNetwork {
  readonly network: LedgerNetwork;
  /** Of the newest final checkpoint that the bootstrap shows. */
  readonly finalSize: bigint;
  readonly finalTimeMs: number;
}

const fetchMs = 10_000;

/**
 * Checks that the bootstrap serves the ledger of this founding document, and creates an empty replica,
 * which verifies everything again as it follows the sequencer.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY`; `LEDGER_UNAVAILABLE` when the bootstrap does not answer;
 * `NETWORK_UNKNOWN` and every reason for which batch 0 or a checkpoint does not verify.
 */
export async function joinNetwork(
  options: { readonly founding: string; readonly bootstrap: string; readonly data: string },
  io: Pick<Io, "clock">,
): Promise<JoinedNetwork> {
  const { bootstrap, data } = options;
  const founding = readFounding(options.founding);
  const network = readLedgerNetwork(founding);
  parseHostPort(bootstrap);
  if ([ledgerFile, journalFile].some((name) => existsSync(join(data, name)))) {
    throw new CausewayError("FOLDER_NOT_EMPTY", `${data} holds a ledger already`);
  }
  const verifier = createNodeVerifier();
  const nowMs = io.clock.nowMs();
  const newest = readFinal(network, await read(bootstrap, "/checkpoint", noteBytesMax), {
    verifier,
    nowMs,
  });
  await verifyFirstBatch(network, bootstrap, verifier);
  mkdirSync(data, { recursive: true, mode: 0o700 });
  await joinLedger({ folder: data, founding, verifier, clock: io.clock });
  return { network, finalSize: newest.size, finalTimeMs: newest.timeMs };
}

/** Batch 0 founds this network, and a quorum of its cities has cosigned a tree that begins with it. */
async function verifyFirstBatch(
  network: LedgerNetwork,
  bootstrap: string,
  verifier: Verifier,
): Promise<void> {
  const note = await read(bootstrap, "/final/0", noteBytesMax);
  const { size, root } = readFinal(network, note, { verifier });
  const width = Number(size);
  if (width < 1 || width > tileWidth) {
    throw new CausewayError("CHECKPOINT_INVALID", `the first final size is ${size}`);
  }
  const path = width === tileWidth ? "/tile/entries/000" : `/tile/entries/000.p/${width}`;
  const bundle = await read(bootstrap, path, width * (leafBytesMax + 2));
  const leaves = decodeEntryBundle(bundle, width);
  const range = leaves.reduce((tree, leaf) => appendLeaf(tree, leafHash(leaf)).range, emptyRange);
  if (!equalBytes(rangeRoot(range), root)) {
    throw new CausewayError("PROOF_INVALID", "the leaves are not those of the final checkpoint");
  }
  const body = await read(bootstrap, "/records/0", batchBytesMax + 4 * batchRecordsMax);
  const batch = { leaf: leaves[0] as Uint8Array, records: splitRecords(body) };
  await foldFirstBatch(network.id, batch, verifier);
}

async function foldFirstBatch(
  id: Uint8Array,
  batch: SealedBatch,
  verifier: Verifier,
): Promise<void> {
  const state = initialState(id);
  const verified = await verifyBatch(state, batch, verifier);
  const applied =
    verified.kind === "rejected"
      ? verified
      : apply(state, verified, 0n, (size) => (size === 0n ? rangeRoot(emptyRange) : undefined));
  if (applied.kind === "applied") return;
  throw new CausewayError(applied.reason, "batch 0 does not found this network");
}

/** Records after their lengths as 32 bits big-endian. */
function splitRecords(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const begin = at + 4;
    const end = begin <= body.length ? begin + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (end > body.length) throw new CausewayError("MALFORMED", "a record ends after its batch");
    records.push(body.subarray(begin, end));
    at = end;
  }
  return records;
}

/** GET of at most `bytesMax` bytes from the HTTP listener of a gateway. */
async function read(bootstrap: string, path: string, bytesMax: number): Promise<Uint8Array> {
  const url = `http://${bootstrap}${path}`;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(fetchMs) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax)
        throw new CausewayError("TOO_LARGE", `${url} exceeds ${bytesMax} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw new CausewayError("LEDGER_UNAVAILABLE", `${url} does not answer as it should`, { cause });
  }
  return concatBytes(...chunks);
}
