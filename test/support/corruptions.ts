/** Every way in which bytes are not the canonical encoding of a message, applied wherever it can be. */
import type { DescField } from "@bufbuild/protobuf";
import { getOption, ScalarType } from "@bufbuild/protobuf";
import { compareBytes, utf8 } from "../../src/base/bytes.ts";
import type { Rule } from "../../src/gen/causeway/canonical/v1/rule_pb.ts";
import { one_required, rule } from "../../src/gen/causeway/canonical/v1/rule_pb.ts";
import type { WireField, WireMessage } from "./wire.ts";
import { innerDesc, padVarint, printWire, tagOf, varint } from "./wire.ts";

/** Gives each list of fields that the corruption makes of a message's own. */
type Corruption = (message: WireMessage) => Iterable<WireField[]>;

/** What the corruption makes of a single field; `undefined` where it does not apply. */
function eachField(change: (field: WireField) => readonly WireField[] | undefined): Corruption {
  return function* ({ fields }) {
    for (const [at, field] of fields.entries()) {
      const changed = change(field);
      if (changed !== undefined)
        yield [...fields.slice(0, at), ...changed, ...fields.slice(at + 1)];
    }
  };
}

/** A change of the fields of the contract that are absent, put where they belong. */
function eachAbsent(make: (desc: DescField) => WireField["value"] | undefined): Corruption {
  return function* ({ desc, fields }) {
    for (const field of desc.fields) {
      if (fields.some((present) => present.desc.number === field.number)) continue;
      const value = make(field);
      if (value === undefined) continue;
      const added = { desc: field, tag: tagOf(field.number, "varint" in value ? 0 : 2), value };
      const place = fields.findIndex((present) => present.desc.number > field.number);
      yield fields.toSpliced(place === -1 ? fields.length : place, 0, added);
    }
  };
}

const contentOf = (field: WireField): Uint8Array | undefined =>
  "content" in field.value
    ? field.value.content instanceof Uint8Array
      ? field.value.content
      : printWire(field.value.content)
    : undefined;

const withContent = (field: WireField, content: Uint8Array): WireField => ({
  ...field,
  value: { content },
});
const withVarint = (field: WireField, bytes: Uint8Array): WireField => ({
  ...field,
  value: { varint: bytes },
});
const isText = (field: WireField): boolean => field.desc.scalar === ScalarType.STRING;
const isRepeated = (field: WireField): boolean => field.desc.fieldKind === "list";
const rulesOf = (field: WireField): Rule => getOption(field.desc, rule);

function mustBePresent({ desc }: WireField): boolean {
  const rules = getOption(desc, rule);
  if (desc.fieldKind === "list") return false;
  if (desc.oneof !== undefined) return getOption(desc.oneof, one_required);
  const exact = rules.length > 0 || rules.encodes !== "";
  return rules.required || desc.fieldKind === "enum" || (exact && !rules.mayBeAbsent);
}

const extra = (wireType: number, value: WireField["value"], number = 15_000): Corruption =>
  function* ({ desc, fields }) {
    const field = { desc: desc.fields[0] as DescField, tag: tagOf(number, wireType), value };
    yield [...fields, field];
    yield [field, ...fields];
  };

/** Bytes that are a protobuf message but not a canonical one: each is NOT_CANONICAL. */
export const notCanonical: Readonly<Record<string, Corruption>> = {
  "an unknown varint": extra(0, { varint: varint(1) }),
  "an unknown length-delimited field": extra(2, { content: Uint8Array.of(1, 2) }),
  "an unknown fixed32": extra(5, { varint: Uint8Array.of(1, 2, 3, 4) }),
  "an unknown fixed64": extra(1, { varint: new Uint8Array(8) }),
  "an unknown group": extra(3, { varint: tagOf(15_000, 4) }),
  "two fields in the other order": function* ({ fields }) {
    for (let at = 1; at < fields.length; at++) {
      const [before, after] = [fields[at - 1] as WireField, fields[at] as WireField];
      if (before.desc === after.desc) continue;
      yield fields.toSpliced(at - 1, 2, after, before);
    }
  },
  "a field twice": eachField((field) => (isRepeated(field) ? undefined : [field, field])),
  "an element behind another field": function* ({ fields }) {
    for (const field of fields) {
      if (isRepeated(field) && fields.at(-1)?.desc !== field.desc) yield [...fields, field];
    }
  },
  "a padded tag": eachField((field) => [{ ...field, tag: padVarint(field.tag) }]),
  "a padded number": eachField((field) =>
    // One of 10 bytes has no longer form: 11 are no number.
    "varint" in field.value && field.value.varint.length < 10
      ? [withVarint(field, padVarint(field.value.varint))]
      : undefined,
  ),
  "a padded length": eachField((field) =>
    "content" in field.value
      ? [{ ...field, value: { ...field.value, padLength: true } }]
      : undefined,
  ),
  "a default that is written": eachAbsent((desc) => {
    if (desc.fieldKind === "scalar" || desc.fieldKind === "enum") {
      const delimited = desc.scalar === ScalarType.STRING || desc.scalar === ScalarType.BYTES;
      return delimited ? { content: new Uint8Array(0) } : { varint: Uint8Array.of(0) };
    }
    return undefined;
  }),
  "an empty value in place of one": eachField((field) => {
    if (isRepeated(field) || field.desc.message !== undefined) return undefined;
    if ("varint" in field.value) return [withVarint(field, Uint8Array.of(0))];
    return [withContent(field, new Uint8Array(0))];
  }),
  "a boolean of 2": eachField((field) =>
    field.desc.scalar === ScalarType.BOOL ? [withVarint(field, Uint8Array.of(2))] : undefined,
  ),
  "an unknown number of an enum": eachField((field) =>
    field.desc.enum === undefined ? undefined : [withVarint(field, varint(99))],
  ),
  "an enum number of 64 bits": eachField((field) =>
    field.desc.enum === undefined ? undefined : [withVarint(field, varint(2n ** 64n - 1n))],
  ),
  "a 32-bit number of 33 bits": eachField((field) =>
    field.desc.scalar === ScalarType.UINT32 ? [withVarint(field, varint(2n ** 32n))] : undefined,
  ),
  "a 32-bit number of 64 bits": eachField((field) =>
    field.desc.scalar === ScalarType.UINT32 ? [withVarint(field, varint(2n ** 63n))] : undefined,
  ),
  "a known field of the other wire type": eachField((field) =>
    "varint" in field.value
      ? [{ ...field, tag: tagOf(field.desc.number, 2), value: { content: Uint8Array.of(1) } }]
      : [{ ...field, tag: tagOf(field.desc.number, 0), value: { varint: Uint8Array.of(1) } }],
  ),
  "a required field left out": eachField((field) => (mustBePresent(field) ? [] : undefined)),
  "a second member of a oneof": eachField((field) => {
    const other = field.desc.oneof?.fields.find(({ number }) => number > field.desc.number);
    if (other === undefined) return undefined;
    const tag = tagOf(other.number, 2);
    return [field, { desc: other, tag, value: { content: new Uint8Array(0) } }];
  }),
  ...Object.fromEntries(
    [" ", "\n", "\0", "\x7f", "甲"].map((character) => [
      `${JSON.stringify(character)} in a text`,
      eachField((field) => {
        if (!isText(field) || rulesOf(field).unicode) return undefined;
        return [withContent(field, utf8(`a${character}`))];
      }),
    ]),
  ),
  ...Object.fromEntries(
    ["-0", "+1", "01", "-", "1.0", "1e3", "9223372036854775808", "-9223372036854775809"].map(
      (text) => [
        `${text} in place of an integer`,
        eachField((field) =>
          rulesOf(field).integer ? [withContent(field, utf8(text))] : undefined,
        ),
      ],
    ),
  ),
  "a byte too few": eachField((field) => {
    const content = rulesOf(field).length > 0 ? contentOf(field) : undefined;
    return content === undefined ? undefined : [withContent(field, content.subarray(1))];
  }),
  "a byte too many": eachField((field) => {
    const content = rulesOf(field).length > 0 ? contentOf(field) : undefined;
    return content === undefined ? undefined : [withContent(field, Uint8Array.of(...content, 0))];
  }),
  "more bytes than its bound": eachField((field) => {
    const { max } = rulesOf(field);
    const long = max > 0 && !isRepeated(field) && innerDesc(field.desc) === undefined;
    return long ? [withContent(field, new Uint8Array(max + 1).fill(0x61))] : undefined;
  }),
  "more elements than its bound": eachField((field) => {
    const { max } = rulesOf(field);
    const many = max > 0 && isRepeated(field) && max <= 4096;
    return many ? Array.from({ length: max + 1 }, () => field) : undefined;
  }),
  "a sorted list with an element twice": eachField((field) =>
    rulesOf(field).sorted ? [field, field] : undefined,
  ),
  "a sorted list in descending order": function* ({ fields }) {
    for (let at = 1; at < fields.length; at++) {
      const [before, after] = [fields[at - 1] as WireField, fields[at] as WireField];
      if (before.desc !== after.desc || !rulesOf(before).sorted) continue;
      if (compareBytes(contentOf(before) as Uint8Array, contentOf(after) as Uint8Array) >= 0) {
        throw new Error("the sample is not sorted");
      }
      yield fields.toSpliced(at - 1, 2, after, before);
    }
  },
};

/**
 * Bytes that are no protobuf message: each is MALFORMED in the message itself, and NOT_CANONICAL where
 * it is inside bytes that a valid message carries.
 */
export const malformed: Readonly<Record<string, Corruption>> = {
  "wire type 6": extra(6, { varint: new Uint8Array(0) }),
  "wire type 7": extra(7, { varint: new Uint8Array(0) }),
  "field number 0": extra(0, { varint: Uint8Array.of(1) }, 0),
  "a number of 11 bytes": eachField((field) =>
    "varint" in field.value
      ? [withVarint(field, Uint8Array.of(...new Uint8Array(10).fill(0xff), 1))]
      : undefined,
  ),
  "a number of 65 bits": eachField((field) =>
    "varint" in field.value
      ? [withVarint(field, Uint8Array.of(...new Uint8Array(9).fill(0xff), 2))]
      : undefined,
  ),
  "a number without its end": function* ({ fields }) {
    const last = fields.at(-1);
    if (last === undefined || !("varint" in last.value)) return;
    yield [...fields.slice(0, -1), withVarint(last, Uint8Array.of(0x80))];
  },
  "a tag without a value": function* ({ fields }) {
    const last = fields.at(-1);
    if (last === undefined || !("varint" in last.value)) return;
    yield [...fields.slice(0, -1), withVarint(last, new Uint8Array(0))];
  },
  "a length beyond the end": function* ({ fields }) {
    const last = fields.at(-1);
    if (last === undefined || !("content" in last.value)) return;
    const content = contentOf(last) as Uint8Array;
    const value = { varint: Uint8Array.of(...varint(content.length + 1), ...content) };
    yield [...fields.slice(0, -1), { ...last, value }];
  },
  "text that is not UTF-8": eachField((field) =>
    isText(field) ? [withContent(field, Uint8Array.of(0x61, 0xff))] : undefined,
  ),
  "text with an encoded surrogate": eachField((field) =>
    isText(field) ? [withContent(field, Uint8Array.of(0xed, 0xa0, 0x80))] : undefined,
  ),
  "text in overlong UTF-8": eachField((field) =>
    isText(field) ? [withContent(field, Uint8Array.of(0xc1, 0x81))] : undefined,
  ),
};

/** All encodings that a corruption makes of `root`, each with the message that was changed. */
export function* corrupt(
  root: WireMessage,
  messages: readonly WireMessage[],
  corruption: Corruption,
): Generator<{ readonly bytes: Uint8Array; readonly message: WireMessage }> {
  for (const message of messages) {
    const { fields } = message;
    for (const changed of corruption(message)) {
      message.fields = changed;
      try {
        yield { bytes: printWire(root), message };
      } finally {
        message.fields = fields;
      }
    }
  }
}
