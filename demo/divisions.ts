/** The administrative divisions of the demonstration's cities, read from `demo/data/divisions.tsv`. */

export interface DivisionRow {
  readonly code: string;
  readonly parent: string;
  readonly name: string;
}

/** Rows by code, and ascending by code. */
export interface DivisionTable {
  readonly byCode: ReadonlyMap<string, DivisionRow>;
  readonly villages: readonly DivisionRow[];
}

/** Digits of a village's code; shorter ones are its city (4), district (6) and street (9). */
export const villageDigits: number = 12;

const areaPattern = /^(?:\d{4}|\d{6}|\d{9})$/;

/** Parses tab-separated lines of code, parent's code and name. Throws for any other line. */
export function parseDivisions(text: string): DivisionTable {
  const byCode = new Map<string, DivisionRow>();
  for (const line of text.split("\n").slice(0, -1)) {
    const [code, parent, name, ...rest] = line.split("\t");
    if (code === undefined || parent === undefined || !name || rest.length > 0) {
      throw new Error(`not a division: ${line}`);
    }
    byCode.set(code, { code, parent, name });
  }
  const villages = [...byCode.values()]
    .filter(({ code }) => code.length === villageDigits)
    .sort((a, b) => (a.code < b.code ? -1 : 1));
  return { byCode, villages };
}

/** Whether `code` has the form of a city's, district's or street's code. */
export function isAreaCode(code: string): boolean {
  return areaPattern.test(code);
}

/** Villages of a city, district or street, ascending by code. */
export function villagesOf({ villages }: DivisionTable, areaCode: string): readonly DivisionRow[] {
  return villages.filter(({ code }) => code.startsWith(areaCode));
}
