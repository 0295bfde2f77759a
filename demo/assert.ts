/** Fails the demonstration when something is not what it tells the reader. */
export function assertEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual === expected) return;
  throw new Error(`${what} is ${String(actual)}, and should be ${String(expected)}`);
}
