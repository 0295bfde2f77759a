/** What the strings of canonical messages may hold. */
import type { Alphabet } from "./canonical-plan.ts";

const decimal = /^(?:0|-?[1-9][0-9]{0,18})$/;
const loneSurrogate = /\p{Surrogate}/u;
const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;

/** Whether `text` is a signed 64-bit integer in decimal, without a leading zero, `+` or `-0`. */
export function isInteger64(text: string): boolean {
  if (!decimal.test(text)) return false;
  const value = BigInt(text);
  return value >= integerMin && value <= integerMax;
}

/** Whether `text` has a UTF-8 encoding: no surrogate stands alone. */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}

/** Why a text of 0x21 to 0x7E that was expected is not there, in words for a message. */
export const alphabetNames: Readonly<Record<Alphabet, string>> = {
  printable: "a character outside 0x21 to 0x7E",
  unicode: "not well-formed Unicode",
  integer: "not a signed 64-bit integer in decimal",
};
