import type { ReasonCode } from "./reasons.ts";

/**
 * Input from outside that cannot be accepted, with a stable reason code.
 * Misuse of our own functions is a `TypeError` or `RangeError`; a broken invariant is an
 * `AssertionError` and ends the process; a refusal of a call is a value, not an error.
 */
export class CausewayError extends Error {
  override readonly name = "CausewayError";
  readonly code: ReasonCode;
  /** Facts about the failure that a program may read, such as an index; never a caller's value. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(
    code: ReasonCode,
    message: string,
    options: { cause?: unknown; fields?: Readonly<Record<string, string>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** A state that the code's own logic excludes. Not to be caught. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

export function assertInvariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}
