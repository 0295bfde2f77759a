/** A decision as it stands in the bytes of its record: equal bytes are equal decisions. */
import type { DescField } from "@bufbuild/protobuf";
import { AssertionError } from "../base/errors.ts";
import { BeginSchema } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  OpenedSchema,
  ReceiptSchema,
  RecordSchema,
  RefusalSchema,
} from "../gen/causeway/record/v1/record_pb.ts";
import { encodedMember } from "../record/canonical-field.ts";

/** Encodings inside of one record: views of its bytes. */
export interface EncodedDecision {
  readonly decision: Uint8Array;
  readonly obligations: Uint8Array | undefined;
}

interface Places {
  readonly decision: readonly number[];
  readonly obligations?: readonly number[];
}

const pathOf = (...fields: readonly DescField[]): readonly number[] =>
  fields.map(({ number }) => number);

const inBegin = (...outer: readonly DescField[]): Places => ({
  decision: pathOf(...outer, BeginSchema.field.decision),
  obligations: pathOf(...outer, BeginSchema.field.obligations),
});

const places: readonly Places[] = [
  inBegin(RecordSchema.field.receipt, ReceiptSchema.field.begin),
  inBegin(RecordSchema.field.opened, OpenedSchema.field.begin),
  { decision: pathOf(RecordSchema.field.refusal, RefusalSchema.field.decision) },
];

/** The decision of an encoded record that was checked and has one, and what it obliges to. */
export function encodedDecision(record: Uint8Array): EncodedDecision {
  for (const { decision: path, obligations } of places) {
    const decision = encodedMember(record, path);
    if (decision === undefined) continue;
    return { decision, obligations: obligations && encodedMember(record, obligations) };
  }
  throw new AssertionError("a record has no decision where one was read");
}
