/** What commands print: a table for people, JSON or one JSON object a line for programs. */
import type { Io } from "./io.ts";

export type OutputFormat = "table" | "json" | "ndjson";

export const outputFormats: readonly OutputFormat[] = ["table", "json", "ndjson"];

export interface OutputOptions {
  /** `table` unless given. */
  readonly output?: OutputFormat | undefined;
}

/** An object is printed as JSON in a table too. */
export type Cell =
  | string
  | number
  | boolean
  | readonly string[]
  | Readonly<Record<string, unknown>>;
export type Row = Readonly<Record<string, Cell>>;

/** As `1 method`, `2 methods`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Prints one thing: in a table one line for each of its members. */
export function writeRow(
  io: Pick<Io, "write">,
  row: Row,
  { output: format = "table" }: OutputOptions,
): void {
  if (format === "table") {
    const members = Object.entries(row);
    const width = Math.max(...members.map(([name]) => widthOf(name)));
    for (const [name, cell] of members) {
      io.write(
        `${padded(name, width)}  ${cellText(cell).replaceAll("\n", "\n".padEnd(width + 3))}\n`,
      );
    }
    return;
  }
  io.write(`${format === "json" ? JSON.stringify(row, undefined, 2) : JSON.stringify(row)}\n`);
}

/** Prints one of many that come over time: in a table one line of its cells. */
export function writeEvent(
  io: Pick<Io, "write">,
  row: Row,
  { output: format = "table" }: OutputOptions,
): void {
  if (format !== "table") return writeRow(io, row, { output: format });
  const cells = Object.values(row).map(cellText);
  io.write(`${cells.join("  ")}\n`);
}

/** Prints a list. All rows have the members of the first one. */
export function writeRows(
  io: Pick<Io, "write">,
  rows: readonly Row[],
  {
    output: format = "table",
    none,
  }: OutputOptions & { /** Said in a table's place when it is empty. */ readonly none: string },
): void {
  if (format === "json") {
    io.write(`${JSON.stringify(rows, undefined, 2)}\n`);
    return;
  }
  if (format === "ndjson") {
    for (const row of rows) io.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const [first] = rows;
  if (first === undefined) {
    io.write(`${none}\n`);
    return;
  }
  const names = Object.keys(first);
  const lines = [
    names.map((name) => name.toUpperCase()),
    ...rows.map((row) => names.map((name) => cellText(row[name] ?? ""))),
  ];
  const widths = names.map((_, column) =>
    Math.max(...lines.map((line) => widthOf(line[column] ?? ""))),
  );
  for (const line of lines) {
    const cells = line.map((cell, column) => padded(cell, widths[column] ?? 0));
    io.write(`${cells.join("  ").trimEnd()}\n`);
  }
}

function cellText(cell: Cell): string {
  if (typeof cell === "boolean") return cell ? "yes" : "no";
  if (typeof cell !== "object") return String(cell);
  return isTexts(cell) ? cell.join(", ") : JSON.stringify(cell, undefined, 2);
}

function isTexts(cell: Cell): cell is readonly string[] {
  return Array.isArray(cell);
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u;

/** Columns of a terminal: a Chinese character takes two. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += wide.test(character) ? 2 : 1;
  return width;
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}
