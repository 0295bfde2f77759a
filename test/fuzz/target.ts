/** What the fuzzing run knows of a decoder: valid inputs, how it reads them, and how it may refuse. */
import type { ReasonCode } from "../../src/base/reasons.ts";

/** A decoder of bytes that come from outside of the process. */
export interface Target {
  /** In the words of a test's name: "a record", "the header of a leaf". */
  readonly name: string;
  /** `<file> <exported function>` for each decoder that is run by this target. */
  readonly covers: readonly string[];
  /** Valid inputs; at least one. */
  readonly samples: readonly Uint8Array[];
  /** The input is text: it comes as well-formed UTF-8. */
  readonly text?: true;
  /** Reads an input. What is refused throws or rejects, or gives `undefined` or `false` where that is documented. */
  readonly read: (input: Uint8Array) => unknown;
  /** Every reason that the decoder documents. */
  readonly reasons: readonly ReasonCode[];
  /** The refusal is a value: `undefined`, or what this tells. */
  readonly isRefusal?: (value: unknown) => boolean;
  /** The input from what was read, where an accepted input is the only form of its value. */
  readonly print?: (value: never) => Uint8Array;
  /** Nothing but the samples is accepted: every byte is signed, hashed or encrypted. */
  readonly sealed?: true;
  /** Bytes that only this process writes: what cannot have been written is an assertion, not a reason. */
  readonly own?: true;
  /** Of the run's number of inputs, one in so many: for decoders that cost much more than others. */
  readonly oneIn?: number;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Text as a decoder of text gets it: what is no UTF-8 has become U+FFFD on the way. */
export function textOf(input: Uint8Array): string {
  return decoder.decode(input);
}
