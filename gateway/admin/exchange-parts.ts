/** What a record says of the exchange that it belongs to. */
import { CausewayError } from "../../src/base/errors.ts";
import type { Begin, Call, CallStatement } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Check, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";

/** One attempt of an exchange. */
export interface AttemptId {
  readonly xid: Uint8Array;
  readonly attempt: number;
}

export function statementOf(call: Call | undefined): CallStatement | undefined {
  return call === undefined ? undefined : openCallStatement(call.statement);
}

/** The Begin of a record that opens an attempt at the provider. */
export function beginOf({ body }: LedgerRecord): Begin | undefined {
  if (body.case === "opened") return body.value.begin;
  if (body.case !== "receipt") return undefined;
  return body.value.start.case === "begin" ? body.value.start.value : undefined;
}

/** The call that a record of the provider holds; `undefined` for one that follows another. */
export function callOf(record: LedgerRecord): Call | undefined {
  return record.body.case === "refusal" ? record.body.value.call : beginOf(record)?.call;
}

/** The record hash that a record of the provider follows. */
export function previousOf({ body }: LedgerRecord): Uint8Array | undefined {
  if (body.case === "receipt" && body.value.start.case === "prevRecord") {
    return body.value.start.value.hash;
  }
  if (body.case === "closed" && body.value.prevRecord.length > 0) return body.value.prevRecord;
  return undefined;
}

/** The attempt that a record names itself; `undefined` for one that only follows another, or is of none. */
export function attemptOf(record: LedgerRecord): AttemptId | undefined {
  const { body } = record;
  switch (body.case) {
    case "acknowledgement":
    case "closed":
      return { xid: body.value.xid, attempt: body.value.attempt };
    case "refusal":
      return statementOf(body.value.call);
    case "receiptMissing":
      return embedded(body.value.record);
    default:
      return statementOf(beginOf(record)?.call);
  }
}

function embedded(bytes: Uint8Array): AttemptId | undefined {
  try {
    return attemptOf(openRecord(bytes));
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

/** Which side's last word of its attempt a record is; `undefined` when more may follow. */
export function closingOf({ body }: LedgerRecord): "consumer" | "provider" | undefined {
  switch (body.case) {
    case "receipt":
      return body.value.final ? "provider" : undefined;
    case "acknowledgement":
      return body.value.final || body.value.check !== Check.MATCH ? "consumer" : undefined;
    case "refusal":
    case "closed":
      return body.value.side === Side.CONSUMER ? "consumer" : "provider";
    default:
      return undefined;
  }
}
