/** Between the messages of `causeway.ledger.v1` and the ledger's own types. */
import { createMessage } from "../../src/base/create-message.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { batchMessageBytesMax, groupBatchesMax } from "../../src/base/limits.ts";
import { isReasonCode } from "../../src/base/reasons.ts";
import {
  type Batch,
  type FollowResponse,
  FollowResponseSchema,
  type SubmitRequest,
  type SubmitResponse,
  SubmitResponseSchema,
  type SubmitResult as SubmitResultMessage,
  SubmitResultSchema,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";

/** Decoded bytes are views of the message they came in, and of the kind that it has: what is kept is copied. */
function kept(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

export function toSealedBatch(batch: Batch): SealedBatch {
  return { leaf: kept(batch.leaf), records: batch.records.map(kept) };
}

/** Throws MALFORMED when there are none, or more than travel together. */
export function toSealedBatches({ batches }: SubmitRequest): readonly SealedBatch[] {
  if (batches.length === 0) throw new CausewayError("MALFORMED", "there is no batch");
  if (batches.length > groupBatchesMax) {
    throw new CausewayError("MALFORMED", `at most ${groupBatchesMax} batches come together`);
  }
  return batches.map(toSealedBatch);
}

export function fromSubmitResults(results: readonly SubmitResult[]): SubmitResponse {
  return createMessage(SubmitResponseSchema, { results: results.map(fromSubmitResult) });
}

function fromSubmitResult(result: SubmitResult): SubmitResultMessage {
  return createMessage(SubmitResultSchema, {
    result:
      result.kind === "included"
        ? { case: "included", value: { index: result.index } }
        : { case: "rejected", value: { reason: result.reason, atSize: result.atSize } },
  });
}

/** Throws MALFORMED, as when there is not one result for each of `count` batches. */
export function toSubmitResults(
  { results }: SubmitResponse,
  count: number,
): readonly SubmitResult[] {
  if (results.length !== count) {
    throw new CausewayError("MALFORMED", "the sequencer gave no result for each batch");
  }
  return results.map(toSubmitResult);
}

function toSubmitResult({ result }: SubmitResultMessage): SubmitResult {
  switch (result.case) {
    case "included":
      return { kind: "included", index: result.value.index };
    case "rejected":
      if (!isReasonCode(result.value.reason)) {
        throw new CausewayError("MALFORMED", "the sequencer gave an unknown reason");
      }
      return { kind: "rejected", reason: result.value.reason, atSize: result.value.atSize };
    case undefined:
      throw new CausewayError("MALFORMED", "the sequencer gave no result");
  }
}

/** The items in as few messages as hold them: batches that follow each other share one, up to a limit. */
export function fromFollowItems(items: readonly FollowItem[]): readonly FollowResponse[] {
  const messages: FollowResponse[] = [];
  for (let at = 0; at < items.length; ) {
    const run = batchRun(items, at);
    messages.push(run.length === 0 ? fromNote(items[at] as NoteItem) : fromBatches(run));
    at += Math.max(1, run.length);
  }
  return messages;
}

type BatchItem = Extract<FollowItem, { kind: "batch" }>;
type NoteItem = Exclude<FollowItem, BatchItem>;

/** Batches from `at` on whose indexes ascend by one and that fit into one message; at least one if one stands there. */
function batchRun(items: readonly FollowItem[], at: number): readonly BatchItem[] {
  const run: BatchItem[] = [];
  let bytes = 0;
  for (const item of items.slice(at, at + groupBatchesMax)) {
    const [first] = run;
    if (item.kind !== "batch") break;
    if (first !== undefined && item.index !== first.index + BigInt(run.length)) break;
    bytes += messageBytesOf(item.batch);
    if (first !== undefined && bytes > batchMessageBytesMax) break;
    run.push(item);
  }
  return run;
}

function fromBatches(run: readonly BatchItem[]): FollowResponse {
  const index = run[0]?.index ?? 0n;
  const batches = run.map(({ batch: { leaf, records } }) => ({ leaf, records: [...records] }));
  return createMessage(FollowResponseSchema, {
    item: { case: "batches", value: { index, batches } },
  });
}

/** Bytes of a batch in a message, with the framing of each record. */
export function messageBytesOf({ leaf, records }: SealedBatch): number {
  return records.reduce((bytes, record) => bytes + record.length + 8, leaf.length + 16);
}

function fromNote(item: NoteItem): FollowResponse {
  switch (item.kind) {
    case "head":
      return createMessage(FollowResponseSchema, {
        item: { case: "head", value: { note: item.note, registryDigest: item.registryDigest } },
      });
    case "final":
      return createMessage(FollowResponseSchema, {
        item: { case: "final", value: { note: item.note } },
      });
    case "term opened": {
      const { term, start } = item;
      return createMessage(FollowResponseSchema, {
        item: { case: "termOpened", value: { term, start } },
      });
    }
  }
}

/** What one message of the stream holds, in order. Throws MALFORMED for one that holds nothing. */
export function toFollowItems({ item }: FollowResponse): readonly FollowItem[] {
  switch (item.case) {
    case "batches": {
      const { index, batches } = item.value;
      if (batches.length === 0) {
        throw new CausewayError("MALFORMED", "an item of the stream has no batches");
      }
      return batches.map((batch, i) => ({
        kind: "batch",
        index: index + BigInt(i),
        batch: toSealedBatch(batch),
      }));
    }
    case "head": {
      const { note, registryDigest } = item.value;
      return [{ kind: "head", note: kept(note), registryDigest: kept(registryDigest) }];
    }
    case "final":
      return [{ kind: "final", note: kept(item.value.note) }];
    case "termOpened":
      return [{ kind: "term opened", term: item.value.term, start: item.value.start }];
    case undefined:
      throw new CausewayError("MALFORMED", "an item of the stream is empty");
  }
}
