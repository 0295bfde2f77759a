/** `causeway ledger proof`: one record as a `.tlog-proof`, written and verified. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { equalBytes, parseUtf8, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { tileWidth } from "../../src/merkle/tile-path.ts";
import type { TileReader } from "../../src/merkle/tile-reader.ts";
import { evaluatePolicy } from "../../src/note/evaluate-policy.ts";
import { parseTlogPolicy } from "../../src/note/tlog-policy.ts";
import {
  formatAddress,
  formatHandle,
  parseAddress,
  parseHandle,
  type RecordAddress,
  type RecordHandle,
} from "../../src/record/handle.ts";
import { proveRecord, verifyRecordProof } from "../../src/record/proof.ts";
import {
  formatRecordTlogProof,
  type ProvenLedgerRecord,
  type RecordTlogProof,
  verifyRecordTlogProof,
} from "../../src/record/record-tlog-proof.ts";
import { readFounding } from "../self.ts";
import { withAdminClient } from "./admin-client.ts";
import { withFormat, withProgress } from "./flags.ts";
import type { Io } from "./io.ts";
import { openServedTree } from "./ledger-download.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { childOf, httpAddress, parseNetworkId, readWhole } from "./ledger-input.ts";
import { type OutputOptions, writeRow } from "./output.ts";
import { type ProgressOptions, startProgress } from "./progress.ts";

export interface LedgerProofOptions extends ProgressOptions {
  /** HTTP listener of any gateway, or the admin socket of the own one: one of the two. */
  readonly from?: string | undefined;
  readonly admin?: string | undefined;
  /** Standard output without it. */
  readonly out?: string | undefined;
}

/**
 * Writes the proof of one final record. Throws USAGE_INVALID for what names no record, RECORD_UNKNOWN for
 * one that is not there, INDEX_UNKNOWN for one that is not final, and what reading throws.
 */
export async function ledgerProof(
  name: string,
  options: LedgerProofOptions,
  io: Io,
): Promise<void> {
  const target = parseAddress(name) ?? parseHandle(name);
  if (target === undefined) {
    throw new CausewayError("USAGE_INVALID", "not an address <index>/<position> or a handle");
  }
  const bytes = formatRecordTlogProof(await readProof(name, target, options, io));
  if (options.out === undefined) {
    io.write(parseUtf8(bytes) as string);
    return;
  }
  await writeProof(options.out, bytes);
  io.write(`${options.out}: proof of ${name}\n`);
}

async function writeProof(file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(file, bytes);
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be written`, { cause });
  }
}

function readProof(
  name: string,
  target: RecordAddress | RecordHandle,
  options: LedgerProofOptions,
  io: Io,
): Promise<RecordTlogProof> {
  const { from, admin } = options;
  if (admin !== undefined && from === undefined) return askOwnGateway(name, admin, io);
  if (from !== undefined && admin === undefined) {
    return readServed(target, new LedgerHttp(httpAddress(from)), options, io);
  }
  throw new CausewayError("USAGE_INVALID", "give --from or --admin");
}

async function askOwnGateway(name: string, admin: string, io: Io): Promise<RecordTlogProof> {
  const { state, record, path, leaf, inclusionProof, note } = await withAdminClient(
    { admin },
    io,
    (client) => client.call(AdminService.method.getRecord, { name }),
  );
  if (state === undefined || note.length === 0) throw notFinal();
  return {
    record: { record, position: state.position, path, leaf },
    index: state.index,
    proof: inclusionProof,
    checkpoint: note,
  };
}

async function readServed(
  target: RecordAddress | RecordHandle,
  http: LedgerHttp,
  options: ProgressOptions,
  io: Io,
): Promise<RecordTlogProof> {
  const { tree, note } = await openServedTree(http);
  const { position } = target;
  const index = "index" in target ? target.index : await findLeaf(target, tree, options, io);
  if (index >= tree.size) throw notFinal();
  const leaves = await tree.entries(index / BigInt(tileWidth));
  const leaf = leaves[Number(index % BigInt(tileWidth))] as Uint8Array;
  const records = await http.records(index);
  if (position >= records.length) {
    throw new CausewayError("RECORD_UNKNOWN", `batch ${index} has ${records.length} records`);
  }
  const record = proveRecord({ leaf, records }, position);
  verifyRecordProof(record);
  return { record, index, proof: await tree.proveInclusion(index), checkpoint: note };
}

/** A leaf by its hash: every tile of leaf hashes is read until it is found. */
async function findLeaf(
  { leafHash }: RecordHandle,
  tree: TileReader,
  options: ProgressOptions,
  io: Io,
): Promise<bigint> {
  const progress = startProgress(io, "leaves", options);
  try {
    for (let tile = 0n; tile * BigInt(tileWidth) < tree.size; tile += 1n) {
      const hashes = await tree.hashes(0, tile);
      const at = hashes.findIndex((hash) => equalBytes(hash, leafHash));
      if (at !== -1) return tile * BigInt(tileWidth) + BigInt(at);
      progress.at((tile + 1n) * BigInt(tileWidth), tree.size);
    }
  } finally {
    progress.end();
  }
  throw new CausewayError("RECORD_UNKNOWN", "no final leaf has this hash");
}

function notFinal(): CausewayError {
  return new CausewayError("INDEX_UNKNOWN", "the record is not final here");
}

export interface ProofVerifyOptions extends OutputOptions {
  /** Whom to trust: a tlog-policy, or the founding document while nothing of it has changed. */
  readonly policy?: string | undefined;
  readonly founding?: string | undefined;
  /** The network that the proof must be of. */
  readonly network?: string | undefined;
}

/** Verifies a proof offline and says what it shows. Throws the reason of what does not verify. */
export async function proofVerify(
  file: string,
  options: ProofVerifyOptions,
  io: Io,
): Promise<ProvenLedgerRecord> {
  const readCheckpoint = checkpointReader(options);
  const proven = verifyRecordTlogProof(readWhole(file), readCheckpoint);
  const { leaf, head, index, position, record } = proven;
  const network = toHex(leaf.header.network);
  if (options.network !== undefined && toHex(parseNetworkId(options.network)) !== network) {
    throw new CausewayError("NETWORK_UNKNOWN", "the proof is of another network");
  }
  writeRow(
    io,
    {
      valid: true,
      address: formatAddress(index, position),
      handle: formatHandle(leaf.leafHash, position),
      kind: record.body.case ?? "",
      gateway: leaf.header.gateway,
      sealed_at: new Date(Number(leaf.header.sealedAt)).toISOString(),
      network,
      origin: head.origin,
      size: String(head.size),
      root: toHex(head.root),
      not_shown: ["the gateway's key: `causeway evidence verify` shows it from the statements"],
    },
    options,
  );
  return proven;
}

function checkpointReader({
  policy: file,
  founding,
}: ProofVerifyOptions): (note: Uint8Array) => unknown {
  const verifier = createNodeVerifier();
  if (file !== undefined && founding === undefined) {
    const policy = parseTlogPolicy(readWhole(file));
    const verify = verifier.verify.bind(verifier);
    return (note) => evaluatePolicy({ policy, note, verify });
  }
  if (founding !== undefined && file === undefined) {
    const { founding: state, skewMs } = readLedgerNetwork(readFounding(founding));
    return (note) => readFinal({ state, skewMs }, note, { verifier });
  }
  throw new CausewayError("USAGE_INVALID", "trust is --policy or --founding, one of them");
}

export function registerLedgerProof(program: Command, io: Io): void {
  const proof = withProgress(
    childOf(program, "ledger", "the shared append-only ledger")
      .command("proof")
      .description("write the .tlog-proof of one final record")
      .argument("<name>", "address <index>/<position> or handle <leaf hash>/<position>")
      .option("--from <host:port>", "HTTP listener of any gateway of the network")
      .option("--admin <socket>", "admin socket of the own gateway, instead of --from")
      .option("--out <file>", "file to write; standard output without it"),
  ).action((name: string, options: LedgerProofOptions) => ledgerProof(name, options, io));
  withFormat(
    proof
      .command("verify")
      .description("verify the .tlog-proof of a record offline")
      .argument("<file>", ".tlog-proof, as causeway ledger proof writes it")
      .option("--policy <file>", "tlog-policy: which log and witnesses are trusted")
      .option("--founding <file>", "founding document, while cities and sequencer are its own")
      .option("--network <hex>", "network id that the proof must be of"),
  ).action(async (file: string, options: ProofVerifyOptions) => {
    await proofVerify(file, options, io);
  });
}
