/** Between the messages of `causeway.ledger.v1` and the ledger's own types. */
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { isReasonCode } from "../../src/base/reasons.ts";
import {
  type Batch,
  type FollowResponse,
  FollowResponseSchema,
  type SubmitResponse,
  SubmitResponseSchema,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";

/** Decoded bytes are views of the message they came in, and of the kind that it has: what is kept is copied. */
function kept(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

export function toSealedBatch(batch: Batch | undefined): SealedBatch {
  if (batch === undefined) throw new CausewayError("MALFORMED", "there is no batch");
  return { leaf: kept(batch.leaf), records: batch.records.map(kept) };
}

export function fromSubmitResult(result: SubmitResult): SubmitResponse {
  return create(SubmitResponseSchema, {
    result:
      result.kind === "included"
        ? { case: "included", value: { index: result.index } }
        : { case: "rejected", value: { reason: result.reason, atSize: result.atSize } },
  });
}

export function toSubmitResult({ result }: SubmitResponse): SubmitResult {
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

export function fromFollowItem(item: FollowItem): FollowResponse {
  switch (item.kind) {
    case "batch": {
      const { leaf, records } = item.batch;
      return create(FollowResponseSchema, {
        item: {
          case: "batch",
          value: { index: item.index, batch: { leaf, records: [...records] } },
        },
      });
    }
    case "head":
      return create(FollowResponseSchema, {
        item: { case: "head", value: { note: item.note, registryDigest: item.registryDigest } },
      });
    case "final":
      return create(FollowResponseSchema, { item: { case: "final", value: { note: item.note } } });
    case "term opened": {
      const { term, start } = item;
      return create(FollowResponseSchema, { item: { case: "termOpened", value: { term, start } } });
    }
  }
}

export function toFollowItem({ item }: FollowResponse): FollowItem {
  switch (item.case) {
    case "batch":
      return { kind: "batch", index: item.value.index, batch: toSealedBatch(item.value.batch) };
    case "head":
      return {
        kind: "head",
        note: kept(item.value.note),
        registryDigest: kept(item.value.registryDigest),
      };
    case "final":
      return { kind: "final", note: kept(item.value.note) };
    case "termOpened":
      return { kind: "term opened", term: item.value.term, start: item.value.start };
    case undefined:
      throw new CausewayError("MALFORMED", "an item of the stream is empty");
  }
}
