/** `causeway ledger follow`: what is included and what becomes final, as it happens. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { readHead } from "../../src/ledger/embedded/checkpoints.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import type { FinalCheckpoint, IncludedBatch } from "../../src/ledger/ports.ts";
import { TileReader } from "../../src/merkle/tile-reader.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { kindOfBatch } from "../../src/record/batch.ts";
import { voidCount } from "../admin/follow-ledger.ts";
import { readFounding } from "../self.ts";
import { followLedger, type LedgerEvent, withAdminClient } from "./admin-client.ts";
import { trustedId } from "./audit.ts";
import { integerFlag, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { readExport, readTree } from "./ledger-download.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { childOf, httpAddress } from "./ledger-input.ts";
import { type OutputOptions, type Row, writeEvent } from "./output.ts";
import { feedReplica, networkOf, withReplica } from "./replica-feed.ts";

export interface LedgerFollowOptions extends OutputOptions {
  /** HTTP listener of any gateway, or the admin socket of the own one: one of the two. */
  readonly from?: string | undefined;
  readonly admin?: string | undefined;
  readonly network?: string | undefined;
  readonly founding?: string | undefined;
  /** Folder of the verified replica, which the next run goes on from; without it all is read again. */
  readonly data?: string | undefined;
  /** Batches from this index on are printed. */
  readonly fromIndex?: number | undefined;
  /** Ends once this size is final. */
  readonly until?: number | undefined;
  /** Ends once everything that is final now is printed. */
  readonly once?: boolean | undefined;
  /** Seconds between two questions. */
  readonly interval?: number | undefined;
}

const intervalDefault = 1;

/**
 * Prints each batch and each final size. From the own gateway's admin socket they are taken as told; over
 * HTTP every byte is verified into a replica first. Runs until it is ended, unless told when to stop.
 *
 * Throws LEDGER_FORK, with both heads kept in `--data`, when the log shows another history; every reason
 * for which a batch, tile or note is refused; LEDGER_UNAVAILABLE when `--once` cannot be answered.
 */
export async function ledgerFollow(options: LedgerFollowOptions, io: Io): Promise<void> {
  const { from, admin } = options;
  if (admin !== undefined && from === undefined) return followOwn(admin, options, io);
  if (from === undefined || admin !== undefined) {
    throw new CausewayError("USAGE_INVALID", "give --from or --admin");
  }
  const http = new LedgerHttp(httpAddress(from));
  const network = await trustedNetwork(http, options);
  await withFolder(options.data, (data) =>
    withReplica({ data, network, clock: io.clock }, (replica) =>
      followServed(http, replica, options, io),
    ),
  );
}

async function trustedNetwork(
  http: LedgerHttp,
  options: LedgerFollowOptions,
): Promise<LedgerNetwork> {
  const id = trustedId(options);
  const { founding } = options;
  return founding === undefined
    ? networkOf(readExport(http), id)
    : readLedgerNetwork(readFounding(founding));
}

async function withFolder(
  data: string | undefined,
  work: (data: string) => Promise<void>,
): Promise<void> {
  if (data !== undefined) return work(data);
  const folder = await mkdtemp(join(tmpdir(), "causeway-follow-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function followServed(
  http: LedgerHttp,
  replica: LedgerReplica,
  options: LedgerFollowOptions,
  io: Io,
): Promise<void> {
  const pauseMs = (options.interval ?? intervalDefault) * 1000;
  const held = replica.fault();
  if (held !== undefined) {
    throw new CausewayError(held.reason, "this replica trusts the ledger no more");
  }
  let tree: TileReader | undefined;
  let isAway = false;
  for (;;) {
    try {
      tree = await takeNewest(http, replica, { tree, options, io });
      isAway = false;
    } catch (cause) {
      if (options.once === true || !isUnavailable(cause)) throw cause;
      if (!isAway) io.warn(`${cause.message}; asking again every ${pauseMs / 1000} s\n`);
      isAway = true;
    }
    if (options.once === true || isReached(replica.final()?.size ?? 0n, options)) return;
    if (await isInterrupted(pauseMs)) return;
  }
}

/** Waits; `true` as soon as the person at the terminal ends it: the folder is closed then. */
function isInterrupted(pauseMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (interrupted: boolean): void => {
      clearTimeout(timer);
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
      resolve(interrupted);
    };
    const interrupt = (): void => end(true);
    const timer = setTimeout(() => end(false), pauseMs);
    process.once("SIGINT", interrupt);
    process.once("SIGTERM", interrupt);
  });
}

function isUnavailable(cause: unknown): cause is CausewayError {
  return cause instanceof CausewayError && cause.code === "LEDGER_UNAVAILABLE";
}

function isReached(finalSize: bigint, { until }: LedgerFollowOptions): boolean {
  return until !== undefined && finalSize >= BigInt(until);
}

async function takeNewest(
  http: LedgerHttp,
  replica: LedgerReplica,
  {
    tree: before,
    options,
    io,
  }: {
    readonly tree: TileReader | undefined;
    readonly options: LedgerFollowOptions;
    readonly io: Io;
  },
): Promise<TileReader | undefined> {
  const note = await http.checkpoint();
  const head = parseCheckpoint(parseNote(note).text);
  const size = replica.state().size;
  if (head.size <= size) {
    const root = replica.rootAt(head.size) as Uint8Array;
    if (!equalBytes(root, head.root)) throw fork(replica, note);
  }
  const held = replica.final()?.size ?? 0n;
  // A gateway may lag behind what another has shown before.
  if (head.size < held) return before;
  let tree = before;
  if (head.size > held) {
    tree = await openTree(http, head, { before, replica, note });
    const start = { index: size, finalSize: held };
    await feedReplica(replica, readTree(http, tree, { start }), {
      onBatches: (from, to) => printBatches(replica, [from, to], options, io),
      onFinal: (final) => writeEvent(io, finalRow(final), options),
    });
  }
  if (!replica.takeFinal(note)) throw fork(replica, note);
  return tree;
}

/** The tree of a newer head, which begins with everything that was verified before. */
async function openTree(
  http: LedgerHttp,
  head: { readonly size: bigint; readonly root: Uint8Array },
  {
    before,
    replica,
    note,
  }: {
    readonly before: TileReader | undefined;
    readonly replica: LedgerReplica;
    readonly note: Uint8Array;
  },
): Promise<TileReader> {
  const { size } = replica.state();
  const tree = await TileReader.open(head, http);
  const root = await tree.rootAt(size < head.size ? size : head.size);
  if (!equalBytes(root, replica.rootAt(size < head.size ? size : head.size) as Uint8Array)) {
    throw fork(replica, note);
  }
  return before === undefined ? tree : before.extend(head);
}

/** Only a head that the log has signed shows two histories; anything else is one gateway's bad bytes. */
function fork(replica: LedgerReplica, note: Uint8Array): CausewayError {
  readHead(replica.trust(), note, createNodeVerifier());
  const held = replica.final()?.note;
  replica.distrust({
    reason: "LEDGER_FORK",
    shown: note,
    ...(held === undefined ? {} : { held }),
  });
  return new CausewayError(
    "LEDGER_FORK",
    "the log has signed another history; both heads are kept",
  );
}

function printBatches(
  replica: LedgerReplica,
  [from, to]: readonly [bigint, bigint],
  options: LedgerFollowOptions,
  io: Io,
): void {
  const first = BigInt(options.fromIndex ?? 0);
  for (let index = from > first ? from : first; index < to; index += 1n) {
    const batch = replica.batch(index) as IncludedBatch;
    const { leafHash, header, records } = batch;
    const { gateway, sealedAt } = header;
    const kind = kindOfBatch(header);
    const voids = voidCount(batch, replica);
    const count = records.length;
    const event = { index, leafHash, gateway, kind, records: count, voids, sealedAt };
    writeEvent(io, batchRow(event), options);
  }
}

async function followOwn(admin: string, options: LedgerFollowOptions, io: Io): Promise<void> {
  const fromIndex = BigInt(options.fromIndex ?? 0);
  const { finalSize } = await withAdminClient({ admin }, io, (client) =>
    client.call(AdminService.method.getStatus, {}),
  );
  if (options.once === true && finalSize <= fromIndex) return;
  // What became final below the first index is not asked for again.
  const request = { fromIndex, fromFinalSize: fromIndex };
  await followLedger({ admin }, request, async (event) => {
    writeEvent(io, eventRow(event), options);
    const size = event.case === "final" ? event.value.size : 0n;
    if (isReached(size, options)) return false;
    return !(options.once === true && size >= finalSize);
  });
}

function eventRow(event: LedgerEvent): Row {
  switch (event.case) {
    case "batch":
      return batchRow(event.value);
    case "final": {
      const { size, root, timeMs } = event.value;
      return finalRow({ size, root, timeMs: Number(timeMs) });
    }
    case "takenBackFrom":
      return { event: "taken back", index: String(event.value) };
  }
}

interface BatchEvent {
  readonly index: bigint;
  readonly leafHash: Uint8Array;
  readonly gateway: string;
  readonly kind: string;
  readonly records: number;
  readonly voids: number;
  readonly sealedAt: bigint;
}

function batchRow({ index, leafHash, gateway, kind, records, voids, sealedAt }: BatchEvent): Row {
  return {
    event: "batch",
    index: String(index),
    time: new Date(Number(sealedAt)).toISOString(),
    gateway,
    kind,
    records,
    voids,
    leaf_hash: toHex(leafHash),
  };
}

function finalRow({ size, root, timeMs }: Pick<FinalCheckpoint, "size" | "root" | "timeMs">): Row {
  return {
    event: "final",
    size: String(size),
    time: new Date(timeMs).toISOString(),
    root: toHex(root),
  };
}

export function registerLedgerFollow(program: Command, io: Io): void {
  withFormat(
    childOf(program, "ledger", "the shared append-only ledger")
      .command("follow")
      .description("print each batch and each final size as it comes")
      .option("--from <host:port>", "HTTP listener of any gateway: everything is verified")
      .option("--admin <socket>", "admin socket of the own gateway, instead of --from")
      .option("--network <hex>", "network id: all that is trusted with --from")
      .option("--founding <file>", "founding document, in the place of the network id")
      .option("--data <dir>", "folder of the verified replica, to go on from the next time")
      .option("--from-index <index>", "print batches from this index on", integerFlag(0))
      .option("--until <size>", "end once this size is final", integerFlag(1))
      .option("--once", "end once everything that is final now is printed")
      .option(
        "--interval <seconds>",
        "between two questions over HTTP",
        integerFlag(1, 3600),
        intervalDefault,
      ),
  ).action((options: LedgerFollowOptions) => ledgerFollow(options, io));
}
