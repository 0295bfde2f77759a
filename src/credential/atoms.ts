/** The values that claims and bodies are made of, each with the one form in which it is written. */
import { parseBase64, parseBase64url } from "../base/bytes.ts";
import { isId, isMethodPath, isUuidV7 } from "../base/ids.ts";
import { certificateBytesMax } from "../base/limits.ts";
import { parseKey } from "./key-text.ts";
import { integer, text, type Shape } from "./shape.ts";

const asciiMax = 255;

export const cityId: Shape<string> = text((value) => isId(value, 1));
export const agencyId: Shape<string> = text((value) => isId(value, 2));
/** Of a gateway or of a data service. */
export const memberId: Shape<string> = text((value) => isId(value, 3));
/** Of a city or of an agency: whoever has an authority key. */
export const authorityId: Shape<string> = text((value) => isId(value, 1) || isId(value, 2));
/** A subject whose kind its own statement defines: 1 to 255 printable ASCII characters. */
export const anySubject: Shape<string> = text(
  (value) => value.length <= asciiMax && /^[\x21-\x7e]+$/.test(value),
);

function isControl(character: string): boolean {
  const point = character.codePointAt(0) as number;
  return point < 0x20 || (point >= 0x7f && point <= 0x9f);
}

/** The name of a network or agency: text for people, no control characters, no space at its ends. */
export const displayName: Shape<string> = text(
  (value) =>
    value !== "" &&
    value.length <= 128 &&
    !value.startsWith(" ") &&
    !value.endsWith(" ") &&
    !Array.from(value).some(isControl),
);

export const uuidV7: Shape<string> = text(isUuidV7);
/** 32 bytes as lower-case hexadecimal. */
export const digest: Shape<string> = text(/^[0-9a-f]{64}$/);
/** A raw Ed25519 key as base64url. Whether the key is accepted is the Verifier's to say. */
export const key: Shape<string> = text((value) => parseKey(value) !== undefined);
/** 16 bytes as base64url. */
export const bytes16: Shape<string> = text(
  (value) => value.length === 22 && parseBase64url(value) !== undefined,
);
/** A DER certificate as standard base64; its inside is checked where it is used. */
export const certificate: Shape<string> = text((value) => {
  if (value.length > Math.ceil(certificateBytesMax / 3) * 4) return false;
  const bytes = parseBase64(value)?.length ?? 0;
  return bytes > 0 && bytes <= certificateBytesMax;
});

export const methodPath: Shape<string> = text(isMethodPath);
/** A purpose, a reason or the name of a profile. */
export const code: Shape<string> = text(/^[A-Za-z][A-Za-z0-9._-]{0,63}$/);
/** A law or rule, such as `GB/T-39477` or `PIPL-13`. */
export const legalBasis: Shape<string> = text(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/);
/** A path of field names in a message. */
export const fieldPath: Shape<string> = text(
  (value) =>
    value.length <= asciiMax && /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/.test(value),
);
/** Official code of a division down to the county, six digits (GB/T 2260). */
export const divisionCode: Shape<string> = text(/^[0-9]{6}$/);

/** `host:port`; an IPv6 host stands in brackets. */
export const address: Shape<string> = text((value) => {
  const found =
    /^(?:\[[0-9a-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([1-9][0-9]{0,4})$/.exec(value);
  return found !== null && value.length <= asciiMax && Number(found[1]) <= 65535;
});

/** Unix seconds or milliseconds. */
export const unixTime: Shape<number> = integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
/** A version of something that is replaced: from 1. */
export const version: Shape<number> = integer({ min: 1, max: 0xffffffff });
