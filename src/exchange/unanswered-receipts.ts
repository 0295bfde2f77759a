/**
 * Which receipts of earlier starts still wait for an answer: worked out again from the own journal and the
 * ledger, so that a restart forgives no agency what it has left unacknowledged.
 *
 * The journal's own state says from which batch on there may be one, with the first record of its attempt. It is
 * saved now and then; what it is behind by is looked at again.
 */
import { equalBytes, toHex, u64be } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { unansweredBatchesMax } from "../base/limits.ts";
import { callTokenDigest, openCallToken } from "../credential/call-token.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Begin } from "../gen/causeway/record/v1/parts_pb.ts";
import type { Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import type { JournalBatch, JournalReader } from "../ledger/journal/store.ts";
import type { Replica, StateChange } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import { openLeaf } from "../record/leaf.ts";
import { openRecord, recordHash } from "../record/record.ts";
import { attemptClosedBy } from "./consumer-closings.ts";
import type { UnacknowledgedReceipts } from "./unacknowledged.ts";
import { closedBeforeMs } from "./unanswered.ts";
import { attemptKey } from "./used-attempts.ts";

const stateKey = "provider/unanswered";

export interface UnansweredPorts {
  readonly journal: Pick<JournalReader, "batch" | "batchCount" | "state">;
  readonly replica: Pick<Replica, "batch" | "state">;
  /** Lets everything else have its turn. */
  readonly turn: () => Promise<void>;
}

interface Attempt {
  readonly key: string;
  readonly peer: string;
  /** Number of the batch in which it begins. */
  readonly from: number;
}

interface Waiting extends Attempt {
  readonly leaf: Uint8Array;
  readonly record: Uint8Array;
  readonly sealedAtMs: number;
}

/** Batches that are read before everything else has its turn. */
const batchesBetweenTurns = 16;

/** What the saved state has to be; `undefined` when it is that already. */
export function unansweredState(
  journal: Pick<JournalReader, "batchCount" | "state">,
  waits: Pick<UnacknowledgedReceipts, "lookBackFrom">,
): StateChange | undefined {
  const value = u64be(BigInt(waits.lookBackFrom(journal.batchCount())));
  const saved = journal.state(stateKey);
  return saved !== undefined && equalBytes(saved, value) ? undefined : { key: stateKey, value };
}

/** Gives `unacknowledged` what nothing on the ledger answers, in the order of the seals. */
export async function restoreUnanswered(
  ports: UnansweredPorts,
  unacknowledged: Pick<UnacknowledgedReceipts, "restored" | "lookBackFrom">,
): Promise<void> {
  const { journal, replica, turn } = ports;
  const count = journal.batchCount();
  unacknowledged.lookBackFrom(count);
  const saved = journal.state(stateKey);
  const from = saved === undefined ? 0 : Number(new DataView(saved.slice().buffer).getBigUint64(0));
  const reader = new SealedReceipts();
  let first: Header | undefined;
  for (let number = Math.max(from, count - unansweredBatchesMax); number < count; number++) {
    const batch = journal.batch(number);
    if (batch === undefined) break;
    first ??= openLeaf(batch.leaf).header;
    reader.read(batch);
    if (number % batchesBetweenTurns === 0) await turn();
  }
  const { waiting } = reader;
  for (
    let index = answersFrom(first, replica);
    waiting.size > 0 && index < replica.state().size;
    index++
  ) {
    const batch = replica.batch(index);
    if (batch === undefined) break;
    for (const bytes of batch.records) takeAnswer(bytes, batch.header.gateway, waiting);
    if (index % BigInt(batchesBetweenTurns) === 0n) await turn();
  }
  for (const [handle, { peer, key: attempt, ...receipt }] of waiting) {
    unacknowledged.restored(peer, handle, { ...receipt, attempt });
  }
}

/**
 * Where the first answer may lie: above what the receipt's batch had seen, or before it, where the consumer
 * had closed the attempt already when its receipt was sealed.
 */
function answersFrom(
  first: Pick<Header, "seenSize" | "sealedAt"> | undefined,
  replica: UnansweredPorts["replica"],
): bigint {
  let index = first?.seenSize ?? 0n;
  const sinceMs = Number(first?.sealedAt ?? 0n) - closedBeforeMs;
  for (; index > 0n; index--) {
    const before = replica.batch(index - 1n);
    if (before === undefined || Number(before.header.sealedAt) < sinceMs) break;
  }
  return index;
}

/** Reads the own chain in its order: receipts, each with the attempt that it belongs to. */
class SealedReceipts {
  readonly waiting = new Map<string, Waiting>();
  /** Attempts by the record hash of their newest record. */
  readonly #attempts = new Map<string, Attempt>();

  read({ leaf, leafHash, number, records }: JournalBatch): void {
    const sealedAtMs = Number(openLeaf(leaf).header.sealedAt);
    for (const [position, record] of records.entries()) {
      const { body } = openRecord(record);
      if (body.case === "opened") this.#follow(record, attemptOf(body.value.begin, number));
      if (body.case !== "receipt") continue;
      const attempt = this.#attemptOf(body.value, number);
      if (attempt === undefined) continue;
      if (!body.value.final) this.#follow(record, attempt);
      this.waiting.set(formatHandle(leafHash, position), { ...attempt, leaf, record, sealedAtMs });
    }
  }

  #follow(record: Uint8Array, attempt: Attempt | undefined): void {
    if (attempt !== undefined) this.#attempts.set(toHex(recordHash(record)), attempt);
  }

  #attemptOf({ start }: Receipt, number: number): Attempt | undefined {
    if (start.case === "begin") return attemptOf(start.value, number);
    if (start.case !== "prevRecord") return undefined;
    const before = toHex(start.value.hash);
    const attempt = this.#attempts.get(before);
    this.#attempts.delete(before);
    return attempt;
  }
}

function attemptOf(begin: Begin | undefined, from: number): Attempt | undefined {
  const call = begin?.call;
  if (call === undefined) return undefined;
  try {
    const key = attemptKey(callTokenDigest(call.token), call.index);
    return { key, peer: openCallToken(call.token).claims.iss, from };
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

function takeAnswer(bytes: Uint8Array, gateway: string, waiting: Map<string, Waiting>): void {
  const { body } = openRecord(bytes);
  if (body.case === "acknowledgement" && body.value.receipt !== undefined) {
    const handle = formatHandle(body.value.receipt.leafHash, body.value.receipt.position);
    if (waiting.get(handle)?.peer === gateway) waiting.delete(handle);
    return;
  }
  const closed = attemptClosedBy(body)?.attempt;
  if (closed === undefined) return;
  for (const [handle, { key, peer }] of waiting) {
    if (key === closed && peer === gateway) waiting.delete(handle);
  }
}
