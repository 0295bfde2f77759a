/** Finding and listing records for an administrator: by handle or address, own chain newest first. */
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { openStatement } from "../../src/credential/statement.ts";
import {
  type GetRecordResponse,
  GetRecordResponseSchema,
  type RecordEntry,
  RecordEntrySchema,
  type RecordState,
  RecordStateSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { OutcomeSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { JournalReader } from "../../src/ledger/journal/store.ts";
import type { Replica, SealedBatch } from "../../src/ledger/ports.ts";
import { parseAddress, parseHandle } from "../../src/record/handle.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { proveRecord } from "../../src/record/proof.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { attemptOf } from "./exchange-parts.ts";

export interface RecordPorts {
  readonly replica: Replica;
  readonly journal: JournalReader;
}

export function recordState(leafHash: Uint8Array, position: number, replica: Replica): RecordState {
  const index = replica.indexOfLeaf(leafHash);
  const finalSize = replica.final()?.size ?? 0n;
  return create(RecordStateSchema, {
    leafHash,
    position,
    included: index !== undefined,
    index: index ?? 0n,
    final: index !== undefined && index < finalSize,
    voidReason: index === undefined ? "" : (replica.voidReason(index, position) ?? ""),
  });
}

interface Found {
  readonly batch: SealedBatch;
  readonly leafHash: Uint8Array;
  readonly position: number;
}

function find(name: string, { replica, journal }: RecordPorts): Found | undefined {
  const address = parseAddress(name);
  if (address !== undefined) {
    const batch = replica.batch(address.index);
    return batch && { batch, leafHash: batch.leafHash, position: address.position };
  }
  const handle = parseHandle(name);
  if (handle === undefined) return undefined;
  const index = replica.indexOfLeaf(handle.leafHash);
  const batch =
    index === undefined ? journal.batchByLeafHash(handle.leafHash) : replica.batch(index);
  return batch && { batch, ...handle };
}

/** Throws RECORD_UNKNOWN. */
export function getRecord(name: string, ports: RecordPorts): GetRecordResponse {
  const found = find(name, ports);
  if (found === undefined || found.position >= found.batch.records.length) {
    throw new CausewayError("RECORD_UNKNOWN", `no record is named ${name} here`, {
      fields: { name },
    });
  }
  const { replica } = ports;
  const { record, path, leaf } = proveRecord(found.batch, found.position);
  const state = recordState(found.leafHash, found.position, replica);
  const response = create(GetRecordResponseSchema, { state, record, path: [...path], leaf });
  if (state.final) {
    // The first frozen note that covers the leaf: it is kept by every replica for ever.
    const frozen = replica.frozenNote(state.index);
    if (frozen !== undefined) {
      response.note = frozen.note;
      response.inclusionProof = [...replica.inclusionProof(state.index, frozen.size)];
    }
  }
  return response;
}

function detailOf({ body }: LedgerRecord): string {
  switch (body.case) {
    case "refusal":
      return body.value.reason;
    case "closed":
      return OutcomeSchema.value[body.value.outcome]?.localName ?? "";
    case "statement":
      return openStatement(body.value.jws).statement.name;
    default:
      return "";
  }
}

/** Newest records of the own chain, at most `limit`. */
export function listRecords(limit: number, { journal, replica }: RecordPorts): RecordEntry[] {
  const entries: RecordEntry[] = [];
  for (const batch of journal.newest({ countMax: limit })) {
    const { sealedAt } = openLeaf(batch.leaf).header;
    for (let position = batch.records.length - 1; position >= 0; position--) {
      if (entries.length >= limit) return entries;
      const record = openRecord(batch.records[position] as Uint8Array);
      const xid = attemptOf(record)?.xid;
      entries.push(
        create(RecordEntrySchema, {
          state: recordState(batch.leafHash, position, replica),
          kind: record.body.case ?? "",
          sealedAt,
          detail: detailOf(record),
          ...(xid === undefined ? {} : { xid }),
        }),
      );
    }
  }
  return entries;
}
