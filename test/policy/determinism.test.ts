import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

interface Printed {
  readonly place: { readonly zone: string; readonly hour: number; readonly locale: string };
  readonly decisions: readonly string[];
}

const main = fileURLToPath(new URL("./decisions-main.js", import.meta.url));

function decideIn(zone: string, locale: string): Printed {
  const env = { ...process.env, TZ: zone, LANG: locale, LC_ALL: locale };
  const flags = ["--no-turbo-inline-js-wasm-calls", main];
  return JSON.parse(execFileSync(process.execPath, flags, { encoding: "utf8", env })) as Printed;
}

const home = decideIn("UTC", "C");

test("the list holds permits, denials and errors, each decision another", () => {
  assert.equal(home.decisions.length, 8);
  assert.equal(new Set(home.decisions).size, 8);
  assert.ok(home.decisions.every((decision) => decision.length > 0));
});

const places: readonly (readonly [zone: string, locale: string, hour: number, tag: string])[] = [
  ["Asia/Shanghai", "zh_CN.UTF-8", 8, "zh-CN"],
  ["America/Los_Angeles", "tr_TR.UTF-8", 16, "tr-TR"],
  ["Pacific/Kiritimati", "sv_SE.UTF-8", 13, "sv-SE"],
];
for (const [zone, locale, hour, tag] of places) {
  test(`decisions taken in ${zone} under ${locale} are the same bytes as in UTC`, () => {
    const there = decideIn(zone, locale);
    assert.equal(there.place.zone, zone);
    assert.equal(there.place.locale, tag);
    assert.equal(there.place.hour, hour);
    assert.deepEqual(there.decisions, home.decisions);
  });
}
