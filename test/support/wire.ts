/** Protobuf wire bytes as a tree that tests corrupt; messages inside encoded bytes are nodes too. */
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { getOption } from "@bufbuild/protobuf";
import { concatBytes } from "../../src/base/bytes.ts";
import { rule } from "../../src/gen/causeway/canonical/v1/rule_pb.ts";

export interface WireMessage {
  readonly desc: DescMessage;
  /** Inside bytes that encode a message: to the outer message they are bytes like any. */
  readonly embedded: boolean;
  fields: WireField[];
}

export interface WireField {
  readonly desc: DescField;
  tag: Uint8Array;
  /** The bytes of a varint, or the content of a length-delimited field. */
  value: { varint: Uint8Array } | { content: Uint8Array | WireMessage; padLength?: boolean };
}

export function varint(value: bigint | number): Uint8Array {
  const out: number[] = [];
  let rest = BigInt(value);
  do {
    out.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(out);
}

/** The same number with one byte more than it needs. */
export function padVarint(bytes: Uint8Array): Uint8Array {
  const out = Uint8Array.of(...bytes, 0);
  out[bytes.length - 1] = (out[bytes.length - 1] as number) | 128;
  return out;
}

export function tagOf(number: number, wireType: number): Uint8Array {
  return varint(number * 8 + wireType);
}

/** The type of the message that the field holds, or that its bytes encode. */
export function innerDesc(field: DescField): DescMessage | undefined {
  if (field.message !== undefined) return field.message;
  const { encodes } = getOption(field, rule);
  if (encodes === "") return undefined;
  const files = [field.parent.file, ...field.parent.file.dependencies];
  const found = files.flatMap((file) => file.messages).find(({ typeName }) => typeName === encodes);
  if (found === undefined) throw new Error(`${encodes} is unknown`);
  return found;
}

export function parseWire(desc: DescMessage, bytes: Uint8Array, embedded = false): WireMessage {
  let at = 0;
  const take = (length: number): Uint8Array => bytes.subarray(at, (at += length));
  const takeVarint = (): Uint8Array => {
    let length = 1;
    while ((bytes[at + length - 1] as number) > 127) length++;
    return take(length);
  };
  const numberOf = (encoded: Uint8Array): number =>
    encoded.reduceRight((number, byte) => number * 128 + (byte & 127), 0);
  const fields: WireField[] = [];
  while (at < bytes.length) {
    const tag = takeVarint();
    const field = desc.fields.find(({ number }) => number === Math.floor(numberOf(tag) / 8));
    if (field === undefined) throw new Error(`${desc.typeName}: unknown field`);
    if (numberOf(tag) % 8 === 0) {
      fields.push({ desc: field, tag, value: { varint: takeVarint() } });
      continue;
    }
    const content = take(numberOf(takeVarint()));
    const inner = innerDesc(field);
    const isEmbedded = embedded || field.message === undefined;
    const value = {
      content: inner === undefined ? content : parseWire(inner, content, isEmbedded),
    };
    fields.push({ desc: field, tag, value });
  }
  return { desc, embedded, fields };
}

export function printWire(message: WireMessage): Uint8Array {
  return concatBytes(
    ...message.fields.map(({ tag, value }) => {
      if ("varint" in value) return concatBytes(tag, value.varint);
      const content =
        value.content instanceof Uint8Array ? value.content : printWire(value.content);
      const length = varint(content.length);
      return concatBytes(tag, value.padLength === true ? padVarint(length) : length, content);
    }),
  );
}

/** The message and all messages in it, the outermost first. */
export function allMessages(message: WireMessage): readonly WireMessage[] {
  const inner = message.fields.flatMap(({ value }) =>
    "content" in value && !(value.content instanceof Uint8Array) ? allMessages(value.content) : [],
  );
  return [message, ...inner];
}
