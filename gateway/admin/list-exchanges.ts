/** The attempts that this gateway has on record, newest first, from its own journal. */
import { create } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import {
  type ExchangeEntry,
  ExchangeEntrySchema,
  type ListExchangesRequest,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { Call, Handle } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  CheckSchema,
  type Closed,
  OutcomeSchema,
  type Refusal,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallToken } from "../../src/credential/call-token.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { type LedgerRecord, openRecord, recordHash } from "../../src/record/record.ts";
import { beginOf, closingOf, previousOf, statementOf } from "./exchange-parts.ts";
import { callOfAttempt, type FindPorts } from "./find-exchange.ts";
import { recordState } from "./records.ts";
import { grpcCodeNames } from "../transcoding/http-status.ts";

/** Batches that one list goes through. */
const batchesMax = 64 * 1024;
/** Batches that are looked at beyond the last entry for the first record of a stream that is listed. */
const beyondMax = 256;
const batchesBetweenTurns = 16;
const pageBatches = 64;

/** At most `limit` entries that the request asks for. */
export async function listExchanges(
  { sinceMs, service, outcome }: Omit<ListExchangesRequest, "limit">,
  limit: number,
  ports: FindPorts,
): Promise<readonly ExchangeEntry[]> {
  const { journal, turn } = ports;
  const list = new Listing(ports);
  const isAsked = (entry: ExchangeEntry): boolean =>
    entry.sealedAt >= sinceMs &&
    (service === "" || entry.service === service) &&
    (outcome === "" || entry.outcome === outcome);
  let beyond = 0;
  let before = journal.batchCount();
  for (let read = 0; read < batchesMax && before > 0; ) {
    for (const batch of journal.newest({ countMax: pageBatches, before })) {
      const isEnough =
        openLeaf(batch.leaf).header.sealedAt < sinceMs ||
        list.entries.filter(isAsked).length >= limit;
      if (isEnough && (!list.isWaiting || beyond++ >= beyondMax)) read = batchesMax;
      if (read >= batchesMax) break;
      list.read(batch);
      before = batch.number;
      if (++read % batchesBetweenTurns === 0) await turn();
    }
  }
  return list.entries.filter(isAsked).slice(0, limit);
}

/** Reads the own chain backwards: the newest record of an attempt says what became of it. */
class Listing {
  readonly entries: ExchangeEntry[] = [];
  readonly #ports: FindPorts;
  readonly #byAttempt = new Map<string, ExchangeEntry>();
  /** Entries by the record hash of the next older record of their attempt. */
  readonly #byHash = new Map<string, ExchangeEntry>();

  constructor(ports: FindPorts) {
    this.#ports = ports;
  }

  /** An attempt is listed whose first record has not been met. */
  get isWaiting(): boolean {
    return this.#byHash.size > 0;
  }

  read(batch: JournalBatch): void {
    for (let position = batch.records.length - 1; position >= 0; position--) {
      const bytes = batch.records[position] as Uint8Array;
      this.#take(openRecord(bytes), bytes, batch, position);
    }
  }

  #take(record: LedgerRecord, bytes: Uint8Array, batch: JournalBatch, position: number): void {
    const { body } = record;
    switch (body.case) {
      case "opened":
      case "receipt":
        return this.#provided(record, bytes, batch, position);
      case "closed":
        if (body.value.side === Side.PROVIDER) {
          return this.#provided(record, bytes, batch, position);
        }
        return this.#closed(record, body.value, batch, position);
      case "acknowledgement":
        return this.#acknowledged(record, body.value, batch, position);
      case "refusal":
        return this.#refused(record, body.value, batch, position);
      default:
    }
  }

  #provided(record: LedgerRecord, bytes: Uint8Array, batch: JournalBatch, position: number): void {
    const hash = toHex(recordHash(bytes));
    const known = this.#byHash.get(hash);
    this.#byHash.delete(hash);
    const entry = known ?? this.#add(record, "provider", batch, position);
    if (record.body.case === "receipt") entry.segments++;
    if (record.body.case === "closed") {
      entry.xid = record.body.value.xid;
      entry.attempt = record.body.value.attempt;
    }
    describeCall(entry, beginOf(record)?.call);
    const previous = previousOf(record);
    if (previous !== undefined) this.#byHash.set(toHex(previous), entry);
  }

  #acknowledged(
    record: LedgerRecord,
    acknowledgement: Acknowledgement,
    batch: JournalBatch,
    position: number,
  ): void {
    const entry = this.#entry(record, acknowledgement, "consumer", batch, position);
    entry.segments++;
    this.#describeBy(entry, acknowledgement.receipt);
  }

  #closed(record: LedgerRecord, closed: Closed, batch: JournalBatch, position: number): void {
    this.#describeBy(this.#entry(record, closed, "consumer", batch, position), closed.refusal);
  }

  /** The consumer's records do not say what was called: the record of the provider that they answer does. */
  #describeBy(entry: ExchangeEntry, handle: Handle | undefined): void {
    if (handle === undefined) return;
    const { replica } = this.#ports;
    const index = replica.indexOfLeaf(handle.leafHash);
    const answered = index === undefined ? undefined : replica.batch(index);
    const bytes = answered?.records[handle.position];
    if (answered === undefined || bytes === undefined) return;
    entry.peer = answered.header.gateway;
    if (entry.service !== "") return;
    const call = callOfAttempt(openRecord(bytes), answered.leaf, this.#ports);
    describeCall(entry, call, "consumer");
  }

  #refused(record: LedgerRecord, refusal: Refusal, batch: JournalBatch, position: number): void {
    const side = refusal.side === Side.CONSUMER ? "consumer" : "provider";
    const entry = this.#add(record, side, batch, position);
    entry.method = refusal.method;
    if (refusal.caller.case === "peer") entry.peer = refusal.caller.value.gateway;
    describeCall(entry, refusal.call);
  }

  #entry(
    record: LedgerRecord,
    { xid, attempt }: { readonly xid: Uint8Array; readonly attempt: number },
    side: string,
    batch: JournalBatch,
    position: number,
  ): ExchangeEntry {
    const key = `${side} ${toHex(xid)} ${attempt}`;
    const known = this.#byAttempt.get(key);
    if (known !== undefined) return known;
    const entry = this.#add(record, side, batch, position);
    entry.xid = xid;
    entry.attempt = attempt;
    this.#byAttempt.set(key, entry);
    return entry;
  }

  #add(record: LedgerRecord, side: string, batch: JournalBatch, position: number): ExchangeEntry {
    const entry = create(ExchangeEntrySchema, {
      side,
      outcome: outcomeOf(record),
      state: recordState(batch.leafHash, position, this.#ports.replica),
      sealedAt: openLeaf(batch.leaf).header.sealedAt,
    });
    this.entries.push(entry);
    return entry;
  }
}

function describeCall(entry: ExchangeEntry, call: Call | undefined, side = "provider"): void {
  const statement = statementOf(call);
  if (call === undefined || statement === undefined) return;
  entry.xid = statement.xid;
  entry.attempt = statement.attempt;
  entry.service = statement.service;
  entry.method = statement.method;
  entry.purpose = statement.purpose;
  if (side === "provider" && entry.peer === "") entry.peer = issuerOf(call.token);
}

function issuerOf(token: string): string {
  try {
    return openCallToken(token).claims.iss;
  } catch (error) {
    if (error instanceof CausewayError) return "";
    throw error;
  }
}

function outcomeOf(record: LedgerRecord): string {
  const { body } = record;
  if (closingOf(record) === undefined) return "OPEN";
  switch (body.case) {
    case "receipt":
      return grpcCodeNames[body.value.status?.grpcCode ?? 2] ?? "UNKNOWN";
    case "acknowledgement":
      return CheckSchema.value[body.value.check]?.localName ?? "";
    case "refusal":
      return body.value.reason;
    case "closed":
      return OutcomeSchema.value[body.value.outcome]?.localName ?? "";
    default:
      return "";
  }
}
