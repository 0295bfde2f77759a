/** Mutations of valid bytes: what a careless, broken or hostile sender makes of them. */
import fc from "fast-check";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";

/** Where a change is, as a part of 2^16 of the length. */
type Place = number;

/** One change of a byte string. */
export type Mutation =
  | { readonly kind: "flip"; readonly at: Place; readonly bit: number }
  | { readonly kind: "set"; readonly at: Place; readonly byte: number }
  | { readonly kind: "truncate" | "behead"; readonly at: Place }
  | { readonly kind: "drop" | "double" | "swap"; readonly at: Place; readonly length: number }
  | { readonly kind: "repeat"; readonly at: Place; readonly length: number; readonly times: number }
  | { readonly kind: "insert"; readonly at: Place; readonly bytes: Uint8Array }
  | { readonly kind: "overwrite"; readonly at: Place; readonly bytes: Uint8Array }
  | { readonly kind: "splice"; readonly at: Place; readonly from: Place };

/** Longest result of one mutation: enough to pass most limits of text formats. */
const bytesMax = 256 * 1024;
const places = 2 ** 16;

const place: fc.Arbitrary<Place> = fc.oneof(
  fc.nat({ max: places }),
  fc.constantFrom(0, 1, places - 1, places),
);

/** Lengths and numbers blown up: u16, u32, u64 and varints at and beyond their ends. */
const blown: readonly Uint8Array[] = [
  [0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
  [0x80, 0],
  [0, 0, 0, 0],
  [0],
].map((bytes) => Uint8Array.from(bytes));

/** What text formats are made of, and what often breaks them. */
const tokens: readonly Uint8Array[] = [
  "\n",
  "\n\n",
  "\r\n",
  " ",
  "\t",
  "\0",
  ".",
  "..",
  "/",
  "=",
  "+",
  "-0",
  "%",
  "{",
  "}",
  "[[[[[[[[[[[[[[[[[[[[[[[[",
  '{"a":{"a":{"a":{"a":',
  '"',
  "\\",
  "\\ud800",
  "null",
  "true",
  "1e400",
  "9007199254740993",
  "9223372036854775808",
  "18446744073709551616",
  "0x10",
  '"__proto__":',
  '"constructor":',
  "— ",
  "é",
  "\u{1F600}",
  "&a [*a,*a]",
].map(utf8);

const length = fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 512 }));

/** One mutation. */
export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant("flip"), at: place, bit: fc.nat({ max: 7 }) }),
  fc.record({ kind: fc.constant("set"), at: place, byte: fc.nat({ max: 255 }) }),
  fc.record({ kind: fc.constantFrom("truncate", "behead"), at: place }),
  fc.record({ kind: fc.constantFrom("drop", "double", "swap"), at: place, length }),
  fc.record({
    kind: fc.constant("repeat"),
    at: place,
    length,
    times: fc.oneof(fc.integer({ min: 2, max: 8 }), fc.integer({ min: 2, max: 5000 })),
  }),
  fc.record({
    kind: fc.constantFrom("insert", "overwrite"),
    at: place,
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 24 }),
      fc.constantFrom(...blown),
      fc.constantFrom(...tokens),
    ),
  }),
  fc.record({ kind: fc.constant("splice"), at: place, from: place }),
) as fc.Arbitrary<Mutation>;

/** `bytes` after one mutation; `other` is what a splice goes on with. The inputs are not changed. */
export function mutate(bytes: Uint8Array, other: Uint8Array, change: Mutation): Uint8Array {
  const mutated = mutateFreely(bytes, other, change);
  return mutated.length > bytesMax ? mutated.slice(0, bytesMax) : mutated;
}

function mutateFreely(bytes: Uint8Array, other: Uint8Array, change: Mutation): Uint8Array {
  const at = inside(change.at, bytes.length);
  const head = bytes.subarray(0, at);
  const tail = bytes.subarray(at);
  switch (change.kind) {
    case "flip":
      return withByte(bytes, at, (byte) => byte ^ (1 << change.bit));
    case "set":
      return withByte(bytes, at, () => change.byte);
    case "truncate":
      return bytes.slice(0, at);
    case "behead":
      return bytes.slice(at);
    case "drop":
      return concatBytes(head, tail.subarray(change.length));
    case "double":
      return concatBytes(head, tail.subarray(0, change.length), tail);
    case "swap": {
      const [first, second] = [tail.subarray(0, change.length), tail.subarray(change.length)];
      return concatBytes(
        head,
        second.subarray(0, change.length),
        first,
        second.subarray(change.length),
      );
    }
    case "repeat": {
      const part = tail.subarray(0, change.length);
      const times = Math.min(change.times, Math.ceil(bytesMax / Math.max(part.length, 1)));
      return concatBytes(head, ...Array.from({ length: times }, () => part), tail);
    }
    case "insert":
      return concatBytes(head, change.bytes, tail);
    case "overwrite":
      return concatBytes(head, change.bytes, tail.subarray(change.bytes.length));
    case "splice":
      return concatBytes(head, other.subarray(inside(change.from, other.length)));
  }
}

function inside(at: Place, size: number): number {
  return Math.min(size, Math.floor((at * (size + 1)) / places));
}

function withByte(bytes: Uint8Array, at: number, change: (byte: number) => number): Uint8Array {
  const copy = bytes.slice();
  const byte = copy[at];
  if (byte !== undefined) copy[at] = change(byte) & 255;
  return copy;
}

/** What is done to which of the samples: short, so that a counterexample can be read. */
export interface Mutant {
  readonly sample: number;
  /** The sample that splices go on with. */
  readonly other: number;
  readonly changes: readonly Mutation[];
}

/** One to four mutations of one of so many samples. */
export function mutant(samples: number): fc.Arbitrary<Mutant> {
  const sample = fc.nat({ max: samples - 1 });
  const changes = fc.array(mutation, { minLength: 1, maxLength: 4 });
  return fc.record({ sample, other: sample, changes });
}

/** The bytes of a mutant. */
export function bytesOf(
  { sample, other, changes }: Mutant,
  samples: readonly Uint8Array[],
): Uint8Array {
  const [first, second] = [samples[sample], samples[other]] as [Uint8Array, Uint8Array];
  return changes.reduce((bytes, change) => mutate(bytes, second, change), first);
}
