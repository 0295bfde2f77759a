import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { filesBelow, isGenerated, productFiles } from "./source-text.ts";

const linesMax = 400;

const written: readonly string[] = productFiles.filter((file) => !isGenerated(file));

const linesOf = (text: string): number => text.split("\n").length - 1;

// Spelt so that this file does not hold them.
const leftovers = new RegExp(
  `\\b(${["TO", "FIX", "X", "HA"].map((part, i) => part + ["DO", "ME", "XX", "CK"][i]).join("|")})\\b`,
);
const machinePaths = /(?<![\w.$}~-])\/(work|home|root|Users)\/[a-zA-Z]/;

/** Every text of the project that people write. */
const texts: readonly string[] = [
  ...written,
  ...["test", "demo", "bench", "scripts", "proto/causeway", "docs", ".ci"]
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => filesBelow(folder, ""))
    .filter((file) => !file.includes("/vectors/") && !file.startsWith("demo/data/")),
  ...["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].filter(existsSync),
];

describe("files", () => {
  test(`of the product have at most ${linesMax} lines`, () => {
    const long = written
      .map((file) => ({ file, lines: linesOf(readFileSync(file, "utf8")) }))
      .filter(({ lines }) => lines > linesMax);
    assert.deepEqual(long, []);
  });

  test("of the product have names in kebab case", () => {
    const odd = written.filter((file) => !/^[a-z][a-z0-9]*(-[a-z0-9]+)*\.ts$/.test(basename(file)));
    assert.deepEqual(odd, []);
  });

  test("hold no mark of unfinished work", () => {
    const found = texts.filter((file) => leftovers.test(readFileSync(file, "utf8")));
    assert.deepEqual(found, []);
  });

  test("hold no path of one machine", () => {
    const found = texts.filter((file) => machinePaths.test(readFileSync(file, "utf8")));
    assert.deepEqual(found, []);
  });

  test("that are linked from a page exist", () => {
    const dead = texts
      .filter((file) => file.endsWith(".md"))
      .flatMap((file) =>
        [...readFileSync(file, "utf8").matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)]
          .map(([, target]) => target as string)
          .filter((target) => !existsSync(join(dirname(file), target)))
          .map((target) => `${file} -> ${target}`),
      );
    assert.deepEqual(dead, []);
  });

  test("that a page names as code exist", () => {
    const missing = texts
      .filter((file) => file.endsWith(".md"))
      .flatMap((file) =>
        [
          ...readFileSync(file, "utf8").matchAll(
            /`((?:src|gateway|test|proto|scripts|docs)\/[\w./-]+\.\w+)`/g,
          ),
        ]
          .map(([, target]) => target as string)
          .filter((target) => !existsSync(target))
          .map((target) => `${file} -> ${target}`),
      );
    assert.deepEqual(missing, []);
  });
});
