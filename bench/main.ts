/**
 * `npm run bench -- [--only exchanges|nginx|stream|seal|tessera|replay|ledger] [--rounds N] [--seconds N] [--warm N]
 *  [--warm-exchanges N] [--in-flight 1,8,32,128] [--size 4|5|6|7] [--node-flag FLAG]... [--json FILE]`
 *
 * What needs a program that is not here, nginx or Go, is left out, and the report says so.
 * `--size` is the power of ten of the leaves in the largest stored ledger; 7 takes a quarter of an hour or more, and 10 GB.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { formatReport } from "./report.ts";
import type { RowName } from "./run.ts";

// As in the program itself, before anything loads Cedar's WebAssembly; every process of a chain has it too.
const wasmFlag = "--no-turbo-inline-js-wasm-calls";
setFlagsFromString(wasmFlag);
const { rowNames, run } = await import("./run.ts");

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    warm: { type: "string", default: "10" },
    "warm-exchanges": { type: "string", default: "10000" },
    "in-flight": { type: "string", default: "1,8,32,128" },
    "node-flag": { type: "string", multiple: true, default: [] },
    size: { type: "string", default: "5" },
    json: { type: "string" },
  },
});

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new TypeError(`--${name} is to be a number above 0`);
  return value;
}

function rowsOf(only: readonly string[]): readonly RowName[] {
  return only.map((name) => {
    const row = rowNames.find((known) => known === name);
    if (row === undefined) throw new TypeError(`--only is one of ${rowNames.join(", ")}`);
    return row;
  });
}

function exponentOf(text: string): number {
  if (!/^[4-7]$/.test(text)) throw new TypeError("--size is 4, 5, 6 or 7");
  return Number(text);
}

const figures = await run(
  {
    rows: rowsOf(values.only ?? rowNames),
    rounds: numberOf("rounds", values.rounds),
    seconds: numberOf("seconds", values.seconds),
    warmSeconds: numberOf("warm", values.warm),
    warmExchanges: numberOf("warm-exchanges", values["warm-exchanges"]),
    sizeExponent: exponentOf(values.size),
    inFlight: values["in-flight"].split(",").map((text) => numberOf("in-flight", text)),
    nodeFlags: [wasmFlag, ...values["node-flag"]],
  },
  (what) => process.stderr.write(`bench: ${what} ...\n`),
);
process.stdout.write(formatReport(figures));
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
}
