import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isGenerated, productFiles } from "../structure/source-text.ts";
import { exempt } from "./exempt.ts";
import { targets } from "./targets.ts";

const decoderPattern =
  /^export (?:async )?function(?:\*| \*)? ?((?:parse|decode|open|read|unframe|accept)(?:[A-Z]\w*)?)\b/gm;

/** `<file> <function>` of every exported function whose name says that it reads. */
const exported: readonly string[] = productFiles
  .filter((file) => !isGenerated(file))
  .flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(decoderPattern)].map(([, name]) => `${file} ${name}`),
  );
const covered = new Set(targets.flatMap(({ covers }) => covers));

test("every exported function that reads is run by the fuzzing, or exempt with a reason", () => {
  assert.ok(exported.length > 60, "the pattern finds the functions");
  const missing = exported.filter((one) => !covered.has(one) && !Object.hasOwn(exempt, one));
  assert.deepEqual(missing, [], "add a target or a reason");
});

test("what is said to be covered or exempt is there", () => {
  const gone = [...covered, ...Object.keys(exempt)].filter((one) => {
    const [file = "", name = ""] = one.split(" ");
    const declared = new RegExp(
      `^export (?:async )?(?:function\\*?|class|const) ?\\*?${name}\\b`,
      "m",
    );
    return !productFiles.includes(file) || !declared.test(readFileSync(file, "utf8"));
  });
  assert.deepEqual(gone, []);
});

test("nothing is both covered and exempt", () => {
  assert.deepEqual(
    Object.keys(exempt).filter((one) => covered.has(one)),
    [],
  );
});
