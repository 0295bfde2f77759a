/** The name that somebody may have meant. */

/** The one of `names` with the fewest changed letters, when those are few for its length. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestChanges = Math.floor(name.length / 3) + 1;
  for (const candidate of names) {
    const changes = changesBetween(name, candidate);
    if (changes < bestChanges) {
      best = candidate;
      bestChanges = changes;
    }
  }
  return best;
}

/** Letters that are put in, left out, replaced or swapped with their neighbour between two short names. */
function changesBetween(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? at(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(replaced, swapped, at(i - 1, j) + 1, at(i, j - 1) + 1));
    }
  }
  return at(a.length, b.length);
}
