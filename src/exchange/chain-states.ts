/**
 * The journal's own state, worked out again from the records of the own chain: which attempts are open at
 * the provider, which ones the consumer has closed, which withheld records it has reported, and how many
 * erasures of openings are on record. What the state says beside that is how far something was looked through, and
 * starts again at 0: of the ledger whatever is met there is known, or is answered; of the own chain each receipt
 * is answered on the ledger, or waits for its acknowledgement.
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
import { leafHash } from "../merkle/hash.ts";
import { openCallStatement } from "../record/call-tree.ts";
import { openRecord, recordHash } from "../record/record.ts";
import { erasedState } from "./erased-openings.ts";
import { closedState, recordedState, recordedStateKey } from "./known-attempts.ts";
import { missingStateKey } from "./missing-receipts.ts";
import { formatOpenAttempt, type OpenAttempt, openStateKey } from "./open-attempts.ts";
import { attemptKey } from "./used-attempts.ts";

interface Open extends Omit<OpenAttempt, "prevRecord"> {
  readonly key: string;
}

/** Reads a chain in its order, batch after batch. */
export class ChainStates {
  /** Open attempts, by the record hash of their newest record. */
  readonly #open = new Map<string, Open>();
  /** Attempts of the consumer that are acknowledged and not closed. */
  readonly #acknowledged = new Set<string>();
  #erasures = 0;

  /**
   * What the records of the next batch, sealed at a Unix time in milliseconds, change. Throws a CausewayError for
   * records that a gateway cannot have sealed.
   */
  changesOf(records: readonly Uint8Array[], sealedAtMs: number): readonly StateChange[] {
    return records.flatMap((bytes) => this.#changesOf(bytes, sealedAtMs));
  }

  #changesOf(bytes: Uint8Array, sealedAtMs: number): readonly StateChange[] {
    const { body } = openRecord(bytes);
    switch (body.case) {
      case "opened":
        return this.#opened(openOf(body.value.begin), bytes);
      case "receipt":
        return this.#receipt(body.value, bytes);
      case "acknowledgement":
        return isClosing(body.value)
          ? this.#closed(body.value, sealedAtMs)
          : [this.#recorded(body.value, bytes)];
      case "closed":
        return body.value.side === Side.CONSUMER
          ? this.#closed(body.value, sealedAtMs)
          : this.#ended(body.value.prevRecord);
      case "receiptMissing": {
        const { leaf, position } = body.value;
        return [{ key: missingStateKey(leafHash(leaf), position), value: emptyBytes }];
      }
      case "openingsErased":
        return [erasedState(++this.#erasures)];
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

  #recorded({ xid, attempt, index, tokenDigest }: Acknowledgement, bytes: Uint8Array): StateChange {
    const key = attemptKey(tokenDigest, index);
    this.#acknowledged.add(key);
    return recordedState(key, { xid, attempt, index, tokenDigest }, recordHash(bytes));
  }

  #closed(
    { tokenDigest, index }: Acknowledgement | Closed,
    closedAtMs: number,
  ): readonly StateChange[] {
    const key = attemptKey(tokenDigest, index);
    const closed = closedState(key, closedAtMs);
    return this.#acknowledged.delete(key) ? [closed, { key: recordedStateKey(key) }] : [closed];
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
