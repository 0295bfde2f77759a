/** Answers of the two services: each says of which exchange it is, and holds a name that a mask may exclude. */
import { create, toBinary } from "@bufbuild/protobuf";
import { concatBytes, emptyBytes, utf8 } from "../../src/base/bytes.ts";
import {
  DivisionSchema,
  ReportCorrectionResponseSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import type { SimMethod } from "./exchange-universe.ts";

/** What the masks of the grants let through. */
export const maskFields: readonly string[] = ["division.code", "ticket"];
export const maskMetadata: readonly string[] = ["x-from", "x-upstream"];

const nameExcluded = toBinary(DivisionSchema, create(DivisionSchema, { name: "not for everyone" }));
const sourceExcluded = toBinary(
  ReportCorrectionResponseSchema,
  create(ReportCorrectionResponseSchema, { source: {} }),
);
/** Tag of a field 1 that is text or a message: a code, a ticket, and the division in a response. */
const firstTag = 0x0a;
const decoder = new TextDecoder();

/**
 * Of the streams the text alone: nobody reads their messages. What the others say may go on with `more` bytes behind a
 * space. All is written as bytes: a large answer would else cost more than the rest of its schedule.
 */
export function answerOf(
  { path }: Pick<SimMethod, "path">,
  said: string,
  more: Uint8Array = emptyBytes,
): Uint8Array {
  const text = more.length === 0 ? utf8(said) : concatBytes(utf8(`${said} `), more);
  if (path.endsWith("/GetDivision")) return firstField(concatBytes(firstField(text), nameExcluded));
  return path.endsWith("/ReportCorrection") ? concatBytes(firstField(text), sourceExcluded) : text;
}

/** What an answer says, without what it goes on with, and whether it holds what a mask would have taken out. */
export function readAnswer(
  { path }: Pick<SimMethod, "path">,
  bytes: Uint8Array,
): { readonly said: string; readonly isWhole: boolean } {
  const isDivision = path.endsWith("/GetDivision");
  if (!isDivision && !path.endsWith("/ReportCorrection")) {
    return { said: decoder.decode(bytes), isWhole: true };
  }
  const { value, rest } = openFirst(isDivision ? openFirst(bytes).value : bytes);
  const [xid, number] = decoder.decode(value.subarray(0, 64)).split(" ");
  return { said: `${xid} ${number}`, isWhole: rest.length > 0 };
}

function firstField(value: Uint8Array): Uint8Array {
  const head = [firstTag];
  let left = value.length;
  for (; left > 0x7f; left >>>= 7) head.push((left & 0x7f) | 0x80);
  return concatBytes(Uint8Array.from([...head, left]), value);
}

/** The value of the field 1 that a message begins with, and what follows it. */
function openFirst(message: Uint8Array): { readonly value: Uint8Array; readonly rest: Uint8Array } {
  let length = 0;
  let at = 1;
  for (let shift = 0, byte = 0x80; byte > 0x7f; shift += 7) {
    byte = message[at++] ?? 0;
    length |= (byte & 0x7f) << shift;
  }
  return { value: message.subarray(at, at + length), rest: message.subarray(at + length) };
}
