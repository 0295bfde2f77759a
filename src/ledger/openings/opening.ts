/** What opens the commitments of one attempt, statement or refusal on this side (RECORDS.md, "Commitments"). */
import { emptyBytes, parseUtf8, utf8 } from "../../base/bytes.ts";
import { AssertionError } from "../../base/errors.ts";
import { frame, unframe } from "../journal/framing.ts";

export interface Opening {
  /** The seed that this side drew: 32 bytes. The salts of its own commitments follow from it. */
  readonly seed?: Uint8Array;
  /** Salts that the other side gave, by label. */
  readonly salts: ReadonlyMap<string, Uint8Array>;
  /** Values that were committed to, by label. */
  readonly values: ReadonlyMap<string, Uint8Array>;
}

export const emptyOpening: Opening = { salts: new Map(), values: new Map() };

export function encodeOpening(opening: Opening): Uint8Array {
  const { seed, salts, values } = opening;
  return frame([seed ?? emptyBytes, encodeMap(salts), encodeMap(values)]);
}

export function decodeOpening(bytes: Uint8Array): Opening {
  const [seed, salts, values] = unframe(bytes);
  if (seed === undefined || salts === undefined || values === undefined) {
    throw new AssertionError("an opening has a seed, salts and values");
  }
  const rest = { salts: decodeMap(salts), values: decodeMap(values) };
  return seed.length === 0 ? rest : { seed, ...rest };
}

/** Both of them; what the later one says replaces what the earlier one said. */
export function mergeOpenings(earlier: Opening, later: Opening): Opening {
  const seed = later.seed ?? earlier.seed;
  return {
    ...(seed === undefined ? {} : { seed }),
    salts: new Map([...earlier.salts, ...later.salts]),
    values: new Map([...earlier.values, ...later.values]),
  };
}

function encodeMap(map: ReadonlyMap<string, Uint8Array>): Uint8Array {
  return frame([...map].flatMap(([label, value]) => [utf8(label), value]));
}

function decodeMap(bytes: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const items = unframe(bytes);
  const map = new Map<string, Uint8Array>();
  for (let i = 0; i + 1 < items.length; i += 2) {
    const label = parseUtf8(items[i] as Uint8Array);
    if (label === undefined) throw new AssertionError("the label of an opening is not text");
    map.set(label, items[i + 1] as Uint8Array);
  }
  return map;
}
