/**
 * Bit length of a count: what stands in a record in place of an exact size or duration (RECORDS.md).
 * 0 gives 0. Throws RangeError for what is no count.
 */
export function bucket(count: number): number {
  if (!Number.isSafeInteger(count) || count < 0) throw new RangeError(`not a count: ${count}`);
  return count === 0 ? 0 : count.toString(2).length;
}
