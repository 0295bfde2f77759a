/** What the demonstration prints: numbered acts, the commands as they would be typed, what they answered. */
import { styleText } from "node:util";

type Style = "bold" | "cyan" | "dim" | "green" | "red" | "yellow";

const widthMax = 100;
const isColoured = process.stdout.isTTY === true && !("NO_COLOR" in process.env);

function styled(style: Style, text: string): string {
  return isColoured ? styleText(style, text) : text;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

let act = 0;

/** Opens the next act. */
export function heading(text: string): void {
  print(`\n${styled("bold", `${++act}. ${text}`)}`);
}

/** One sentence to the reader. */
export function say(text: string): void {
  print(`   ${text}`);
}

/** A claim that has just been checked. */
export function checked(text: string): void {
  print(`   ${styled("green", "ok")} ${text}`);
}

/** What a command or a service answered. */
export function answered(text: string): void {
  for (const line of text.trimEnd().split("\n")) print(`     ${styled("dim", line)}`);
}

/** A command as somebody types it in a folder; a long one goes on behind a backslash, at a flag if it can. */
export function typed(folder: string, words: readonly string[]): void {
  const room = widthMax - folder.length - 7;
  const lines: string[] = [];
  for (const unit of unitsOf(words).flatMap((unit) =>
    unit.join(" ").length > room ? unit : [unit.join(" ")],
  )) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + unit.length < room)
      lines[lines.length - 1] = `${last} ${unit}`;
    else lines.push(unit);
  }
  print(`   ${styled("cyan", `${folder}$`)} ${lines.join(" \\\n       ")}`);
}

/** Words of a command with each flag's values beside it. */
function unitsOf(words: readonly string[]): readonly (readonly string[])[] {
  const units: string[][] = [];
  for (const word of words) {
    const last = units.at(-1);
    if (last === undefined || word.startsWith("--")) units.push([word]);
    else last.push(word);
  }
  return units;
}

/** A word as a shell needs it; a variable stays one. */
export function quoted(word: string): string {
  return /^(?:[\w./:=@,+-]+|\$[A-Z]+)$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A box around what must not be overlooked. */
export function banner(lines: readonly string[]): void {
  const rule = "=".repeat(widthMax + 4);
  print([rule, ...lines.map((line) => `  ${line}`), rule].join("\n"));
}

export function failed(text: string): void {
  process.stderr.write(`\n${styled("red", "The demonstration failed:")} ${text}\n`);
}

/** Rows in columns, under upper-case names. */
export function table(rows: readonly Readonly<Record<string, string>>[]): void {
  const names = Object.keys(rows[0] ?? {});
  const lines = [
    names.map((name) => name.toUpperCase()),
    ...rows.map((row) => names.map((name) => row[name] ?? "")),
  ];
  const widths = names.map((_, column) =>
    Math.max(...lines.map((line) => columnsOf(line[column] ?? ""))),
  );
  for (const [i, line] of lines.entries()) {
    const cells = line.map((cell, column) => padded(cell, widths[column] ?? 0));
    const text = cells.join("  ").trimEnd();
    print(`   ${i === 0 ? styled("bold", text) : text}`);
  }
}

/** Columns of a terminal: a Chinese character takes two. */
function columnsOf(text: string): number {
  return text.replaceAll(/\p{Script=Han}/gu, "xx").length;
}

function padded(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - columnsOf(text)));
}

/** A line that stands as it is, to be copied. */
export function copyable(line: string): void {
  print(`   ${line}`);
}
