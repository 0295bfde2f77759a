/** The writing half of DER (X.690), as far as a certificate needs it. */

function tagged(tag: number, contents: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(contents);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest >>>= 8) length.unshift(rest & 255);
  const prefix =
    content.length < 128 ? [tag, content.length] : [tag, 128 | length.length, ...length];
  return Uint8Array.of(...prefix, ...content);
}

export function derSequence(...contents: readonly Uint8Array[]): Uint8Array {
  return tagged(0x30, contents);
}

export function derSet(...contents: readonly Uint8Array[]): Uint8Array {
  return tagged(0x31, contents);
}

/** An INTEGER from its big-endian bytes, which must be minimal and positive. */
export function derPositiveInteger(bytes: Uint8Array): Uint8Array {
  const first = bytes[0];
  if (first === undefined || first === 0 || first > 127) {
    throw new RangeError("not the minimal bytes of a positive integer");
  }
  return tagged(0x02, [bytes]);
}

/** An OBJECT IDENTIFIER in dotted form, whose arcs stay below 2^31. */
export function derObjectId(dotted: string): Uint8Array {
  const [first, second, ...arcs] = dotted.split(".").map(Number) as [number, number, ...number[]];
  const bytes = [40 * first + second, ...arcs].flatMap((arc) => {
    const groups = [arc & 127];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) groups.unshift(128 | (rest & 127));
    return groups;
  });
  return tagged(0x06, [Uint8Array.from(bytes)]);
}

export function derUtf8(text: string): Uint8Array {
  return tagged(0x0c, [Buffer.from(text)]);
}

export const derTrue: Uint8Array = tagged(0x01, [Uint8Array.of(255)]);

/** A BIT STRING of whole bytes, or of fewer bits with `unusedBits` left over. */
export function derBits(bytes: Uint8Array, unusedBits: number = 0): Uint8Array {
  return tagged(0x03, [Uint8Array.of(unusedBits), bytes]);
}

export function derBytes(bytes: Uint8Array): Uint8Array {
  return tagged(0x04, [bytes]);
}

/** Context-specific, constructed: `[number]`. */
export function derExplicit(number: number, content: Uint8Array): Uint8Array {
  return tagged(0xa0 | number, [content]);
}

/** A time as RFC 5280 section 4.1.2.5 asks: UTCTime through 2049, GeneralizedTime from then on. */
export function derTime(unixMs: number): Uint8Array {
  const digits = new Date(unixMs).toISOString().slice(0, 19).replace(/[-:T]/g, "");
  const year = Number(digits.slice(0, 4));
  if (year < 1950 || year > 9999) throw new RangeError("a time of the years 1950 to 9999");
  return year < 2050
    ? tagged(0x17, [Buffer.from(`${digits.slice(2)}Z`)])
    : tagged(0x18, [Buffer.from(`${digits}Z`)]);
}
