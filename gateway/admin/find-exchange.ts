/** The records of both sides of one exchange, from the own journal and the replica of the ledger. */
import { create } from "@bufbuild/protobuf";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type ExchangeRecord,
  ExchangeRecordSchema,
  type GetExchangeResponse,
  GetExchangeResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { Call } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { JournalReader } from "../../src/ledger/journal/store.ts";
import type { Replica, SealedBatch } from "../../src/ledger/ports.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { type LedgerRecord, openRecord, recordHash } from "../../src/record/record.ts";
import { timeOfXid, xidOfText } from "../xid.ts";
import { attemptOf, callOf, closingOf, previousOf } from "./exchange-parts.ts";
import { getRecord, recordState } from "./records.ts";

export interface FindPorts {
  readonly replica: Replica;
  readonly journal: JournalReader;
  /** Lets everything else have its turn. */
  readonly turn: () => Promise<void>;
}

type ChainPorts = Pick<FindPorts, "journal" | "replica">;

/** Batches that one look at the ledger goes through: hours of a busy network. */
const batchesMax = 64 * 1024;
/** Own batches that are not included yet, of which at most so many are looked at. */
const ownBatchesMax = 4096;
/** Batches between a record of an attempt and the one before it: seconds of a busy gateway. */
const batchesBackMax = 1024;
const batchesBetweenTurns = 16;
/** How far the clocks of two gateways may differ, generously, in milliseconds. */
const clocksMs = 60_000;

/**
 * `name` is an exchange's id or the handle of one of its records. A refusal of what named no exchange, or did not
 * verify, is shown alone and without an id. Throws RECORD_UNKNOWN.
 */
export async function findExchange(name: string, ports: FindPorts): Promise<GetExchangeResponse> {
  const xid = xidOfText(name) ?? xidOfRecord(name, ports);
  if (xid === undefined) return refusedAlone(name, ports);
  const search = new Search(xid, ports.replica);
  await searchLedger(search, ports);
  for (const batch of ownNotIncluded(ports)) search.read(batch);
  if (search.found.length === 0) {
    throw new CausewayError("RECORD_UNKNOWN", `no record of the exchange ${name} is here`, {
      fields: { exchange: name },
    });
  }
  const records = search.found.toSorted(
    (a, b) => a.attempt - b.attempt || Number(a.sealedAt - b.sealedAt),
  );
  return create(GetExchangeResponseSchema, { xid, records });
}

async function searchLedger(search: Search, { replica, turn }: FindPorts): Promise<void> {
  const { size } = replica.state();
  const first = firstIndex(timeOfXid(search.xid) - clocksMs, replica);
  for (let index = first; index < size && index < first + BigInt(batchesMax); index++) {
    const batch = replica.batch(index);
    if (batch === undefined || search.isComplete) return;
    search.read(batch);
    if (index % BigInt(batchesBetweenTurns) === 0n) await turn();
  }
}

/** The first index that became final at this time or later: what was sealed later lies above it. */
function firstIndex(timeMs: number, replica: Replica): bigint {
  let low = 0n;
  let high = replica.final()?.size ?? 0n;
  while (low < high) {
    const middle = (low + high) / 2n;
    const note = replica.frozenNote(middle);
    if (note === undefined || note.timeMs >= timeMs) high = middle;
    else low = middle + 1n;
  }
  return low;
}

function ownNotIncluded({ journal, replica }: FindPorts): readonly (SealedBatch & {
  readonly leafHash: Uint8Array;
})[] {
  const finalCount = journal.finalCount();
  return journal
    .newest({ countMax: ownBatchesMax })
    .filter(({ number, leafHash }) => {
      return number >= finalCount && replica.indexOfLeaf(leafHash) === undefined;
    })
    .toReversed();
}

/** Gathers what belongs to one exchange from batches in the order of their chains. */
class Search {
  readonly xid: Uint8Array;
  readonly found: ExchangeRecord[] = [];
  readonly #replica: Replica;
  /** Attempts by the record hash of the provider's records. */
  readonly #attempts = new Map<string, number>();
  /** What a record has to hold somewhere to be looked at: the id, or the hash of a record before it. */
  readonly #needles: Buffer[];
  readonly #closings = new Set<string>();
  #attemptsExpected = 1;

  constructor(xid: Uint8Array, replica: Replica) {
    this.xid = xid;
    this.#replica = replica;
    this.#needles = [bufferOf(xid)];
  }

  /** Both sides have closed every attempt. */
  get isComplete(): boolean {
    return this.#closings.size >= 2 * this.#attemptsExpected;
  }

  read({ leaf, records }: SealedBatch): void {
    for (const [position, bytes] of records.entries()) {
      const view = bufferOf(bytes);
      if (this.#needles.some((needle) => view.includes(needle))) this.#take(leaf, bytes, position);
    }
  }

  #take(leaf: Uint8Array, bytes: Uint8Array, position: number): void {
    const record = openRecord(bytes);
    const attempt = this.#attemptOf(record);
    if (attempt === undefined) return;
    const { header, leafHash } = openLeaf(leaf);
    const { case: kind } = record.body;
    if (kind === "opened" || kind === "receipt") {
      const hash = recordHash(bytes);
      this.#attempts.set(toHex(hash), attempt);
      this.#needles.push(bufferOf(hash));
    }
    const closing = closingOf(record);
    if (closing !== undefined) this.#closings.add(`${closing} ${attempt}`);
    if (record.body.case === "closed" && record.body.value.nextAttempt > 0) {
      this.#attemptsExpected = Math.max(this.#attemptsExpected, record.body.value.nextAttempt);
    }
    this.found.push(
      create(ExchangeRecordSchema, {
        state: recordState(leafHash, position, this.#replica),
        gateway: header.gateway,
        sealedAt: header.sealedAt,
        attempt,
        record: bytes,
      }),
    );
  }

  #attemptOf(record: LedgerRecord): number | undefined {
    const named = attemptOf(record);
    if (named !== undefined) return equalBytes(named.xid, this.xid) ? named.attempt : undefined;
    const previous = previousOf(record);
    return previous === undefined ? undefined : this.#attempts.get(toHex(previous));
  }
}

/** The same bytes, which can be searched. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The exchange of the record with this handle; `undefined` for a refusal of none. Throws RECORD_UNKNOWN. */
function xidOfRecord(name: string, ports: FindPorts): Uint8Array | undefined {
  const { record, leaf } = getRecord(name, ports);
  const opened = openRecord(record);
  const first = namingRecord(opened, leaf, ports);
  const named = first === undefined ? undefined : attemptOf(first);
  if (named !== undefined) return named.xid;
  if (opened.body.case === "refusal") return undefined;
  throw new CausewayError("RECORD_UNKNOWN", `${name} is a record of no exchange`, {
    fields: { name },
  });
}

function refusedAlone(name: string, ports: FindPorts): GetExchangeResponse {
  const { record, leaf, state } = getRecord(name, ports);
  const { gateway, sealedAt } = openLeaf(leaf).header;
  return create(GetExchangeResponseSchema, {
    records: [create(ExchangeRecordSchema, { state, gateway, sealedAt, record })],
  });
}

/** The record itself, or the one before it in its attempt, that names the attempt. */
export function namingRecord(
  record: LedgerRecord,
  leaf: Uint8Array,
  ports: ChainPorts,
): LedgerRecord | undefined {
  return backTo((at) => attemptOf(at) !== undefined, record, leaf, ports);
}

/** The call of the attempt that a record of its provider belongs to. */
export function callOfAttempt(
  record: LedgerRecord,
  leaf: Uint8Array,
  ports: ChainPorts,
): Call | undefined {
  const holding = backTo((at) => callOf(at) !== undefined, record, leaf, ports);
  return holding && callOf(holding);
}

/** The first that is wanted of a record and those before it in its attempt. */
function backTo(
  isWanted: (record: LedgerRecord) => boolean,
  record: LedgerRecord,
  leaf: Uint8Array,
  ports: ChainPorts,
): LedgerRecord | undefined {
  let at: { readonly record: LedgerRecord; readonly leaf: Uint8Array } | undefined = {
    record,
    leaf,
  };
  while (at !== undefined && !isWanted(at.record)) {
    const previous = previousOf(at.record);
    at = previous === undefined ? undefined : recordBefore(previous, at.leaf, ports);
  }
  return at?.record;
}

/** The record of this hash at or before a batch of its chain, within what is held here. */
function recordBefore(
  hash: Uint8Array,
  leaf: Uint8Array,
  { journal, replica }: ChainPorts,
): { readonly record: LedgerRecord; readonly leaf: Uint8Array } | undefined {
  let next: Uint8Array | undefined = openLeaf(leaf).leafHash;
  for (let looked = 0; next !== undefined && looked < batchesBackMax; looked++) {
    const index: bigint | undefined = replica.indexOfLeaf(next);
    const batch: SealedBatch | undefined =
      index === undefined ? journal.batchByLeafHash(next) : replica.batch(index);
    if (batch === undefined) return undefined;
    for (const bytes of batch.records) {
      if (equalBytes(recordHash(bytes), hash)) {
        return { record: openRecord(bytes), leaf: batch.leaf };
      }
    }
    next = openLeaf(batch.leaf).header.prev;
  }
  return undefined;
}
