/**
 * The canonical encoding of headers, records, call statements and what is hashed of an exchange
 * (RECORDS.md): every message has one encoding, and a decoder takes no other bytes.
 *
 * Fields ascend, numbers are minimal, defaults are absent, nothing is unknown; what a field must
 * satisfy beyond that stands in the contract as options of `causeway.canonical.v1`.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { compareBytes, compareText } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { checkCanonical } from "./canonical-check.ts";
import type { Properties } from "../base/create-message.ts";
import { planOf } from "./canonical-plan.ts";
import { readCanonical } from "./canonical-reader.ts";
import { writeCanonical } from "./canonical-writer.ts";

/**
 * The canonical encoding of `message`.
 *
 * A message that has none is misuse: RangeError for a value that its field's rule excludes, TypeError
 * for a property of the wrong type or a message type that cannot be canonical. Lists that must ascend
 * are refused, not sorted: see `sortCanonical`.
 */
export function encodeCanonical<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Uint8Array {
  return writeCanonical(planOf(schema), message as Properties);
}

/**
 * The message that `bytes` are the canonical encoding of. Its bytes fields are views: copy what
 * outlives `bytes`.
 *
 * Throws a CausewayError: TOO_LARGE for more than `maxBytes`, MALFORMED for bytes that are no
 * protobuf message, NOT_CANONICAL for every other encoding of a message and for one that breaks a
 * rule of the contract. The first thing that is wrong decides.
 */
export function decodeCanonical<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  limits: { readonly maxBytes: number },
): MessageShape<Desc> {
  assertCanonical(schema, bytes, limits);
  return buildCanonical(schema, bytes);
}

/**
 * Checks that `bytes` are the canonical encoding of a message, and builds none. Throws as
 * `decodeCanonical` does.
 */
export function assertCanonical(
  schema: DescMessage,
  bytes: Uint8Array,
  limits: { readonly maxBytes: number },
): void {
  if (bytes.length > limits.maxBytes) {
    const why = `${schema.typeName}: ${bytes.length} bytes, at most ${limits.maxBytes} are taken`;
    throw new CausewayError("TOO_LARGE", why);
  }
  checkCanonical(planOf(schema), bytes);
}

/**
 * The message that `bytes` encode, which `assertCanonical` has taken and nobody has changed since. Its
 * bytes fields are views. Checks nothing: of any other bytes the result means nothing.
 */
export function buildCanonical<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  // A schema's plan builds messages of that schema.
  return readCanonical(planOf(schema), bytes) as MessageShape<Desc>;
}

/** `messages` as a sorted list holds them: ascending by their encodings, each once. */
export function sortCanonical<Desc extends DescMessage>(
  schema: Desc,
  messages: readonly MessageShape<Desc>[],
): MessageShape<Desc>[] {
  const encoded = messages.map((message) => ({ message, bytes: encodeCanonical(schema, message) }));
  encoded.sort((a, b) => compareBytes(a.bytes, b.bytes));
  const isFirst = (at: number): boolean => {
    const [before, own] = [encoded[at - 1], encoded[at]];
    return before === undefined || own === undefined || compareBytes(before.bytes, own.bytes) !== 0;
  };
  return encoded.filter((_, at) => isFirst(at)).map(({ message }) => message);
}

/** `texts` as a sorted list holds them: ascending by their UTF-8 bytes, each once. */
export function sortTexts(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort(compareText);
}
