/**
 * The journal's own state, worked out again from the records of the own chain: which attempts are open at
 * the provider, and which ones the consumer has closed. What the state says beside that, how far the
 * ledger was looked through, starts again at 0: whatever is met there is known, or is answered.
 */
import { emptyBytes, toHex } from "../base/bytes.ts";
import { callTokenDigest } from "../credential/call-token.ts";
import type { Begin } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  type Acknowledgement,
  Check,
  type Closed,
  type Receipt,
  Side,
} from "../gen/causeway/record/v1/record_pb.ts";
import type { StateChange } from "../ledger/ports.ts";
import { openCallStatement } from "../record/call-tree.ts";
import { openRecord, recordHash } from "../record/record.ts";
import { closedStateKey } from "./known-attempts.ts";
import { formatOpenAttempt, type OpenAttempt, openStateKey } from "./open-attempts.ts";
import { attemptKey } from "./used-attempts.ts";

interface Open extends Omit<OpenAttempt, "prevRecord"> {
  readonly key: string;
}

/** Reads a chain in its order, batch after batch. */
export class ChainStates {
  /** Open attempts, by the record hash of their newest record. */
  readonly #open = new Map<string, Open>();

  /** What the records of the next batch change. Throws a CausewayError for records that a gateway cannot have sealed. */
  changesOf(records: readonly Uint8Array[]): readonly StateChange[] {
    return records.flatMap((bytes) => this.#changesOf(bytes));
  }

  #changesOf(bytes: Uint8Array): readonly StateChange[] {
    const { body } = openRecord(bytes);
    switch (body.case) {
      case "opened":
        return this.#opened(openOf(body.value.begin), bytes);
      case "receipt":
        return this.#receipt(body.value, bytes);
      case "acknowledgement":
        return isClosing(body.value) ? [closedAttempt(body.value)] : [];
      case "closed":
        return body.value.side === Side.CONSUMER
          ? [closedAttempt(body.value)]
          : this.#ended(body.value.prevRecord);
      default:
        return [];
    }
  }

  #opened(open: Open | undefined, bytes: Uint8Array): readonly StateChange[] {
    if (open === undefined) return [];
    const prevRecord = recordHash(bytes);
    this.#open.set(toHex(prevRecord), open);
    return [{ key: openStateKey(open.key), value: formatOpenAttempt({ ...open, prevRecord }) }];
  }

  #receipt({ start, final }: Receipt, bytes: Uint8Array): readonly StateChange[] {
    if (start.case === "begin") return final ? [] : this.#opened(openOf(start.value), bytes);
    const before = start.value?.hash ?? emptyBytes;
    if (final) return this.#ended(before);
    const open = this.#open.get(toHex(before));
    this.#open.delete(toHex(before));
    return this.#opened(open, bytes);
  }

  #ended(prevRecord: Uint8Array): readonly StateChange[] {
    const open = this.#open.get(toHex(prevRecord));
    this.#open.delete(toHex(prevRecord));
    return open === undefined ? [] : [{ key: openStateKey(open.key) }];
  }
}

function openOf(begin: Begin | undefined): Open | undefined {
  const call = begin?.call;
  if (call === undefined) return undefined;
  const { xid, attempt } = openCallStatement(call.statement);
  return { xid, attempt, key: attemptKey(callTokenDigest(call.token), call.index) };
}

/** Of what is not a match nothing was handed over, and nothing follows it. */
function isClosing({ final, check }: Acknowledgement): boolean {
  return final || check !== Check.MATCH;
}

function closedAttempt({ tokenDigest, index }: Acknowledgement | Closed): StateChange {
  return { key: closedStateKey(attemptKey(tokenDigest, index)), value: emptyBytes };
}
