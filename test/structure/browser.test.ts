import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bareCode, filesBelow, importsOf, packageOf } from "./source-text.ts";

// What runs in a browser: verification, and what it rests on.
const folders: readonly string[] = [
  "src/base",
  "src/gen",
  "src/merkle",
  "src/note",
  "src/record",
  "src/credential",
  "src/registry",
];
const files: readonly string[] = [
  "src/crypto/commitments.ts",
  "src/crypto/ed25519-key.ts",
  "src/crypto/noble.ts",
  "src/crypto/ports.ts",
  "src/crypto/thumbprint.ts",
  "src/crypto/transcript.ts",
  ...filesBelow("src", ".ts").filter((file) => /^src\/evidence\/verif[a-z-]*\.ts$/.test(file)),
];

const packagesAllowed: ReadonlySet<string> = new Set([
  "@bufbuild/protobuf",
  "@noble/curves",
  "@noble/hashes",
  "jose",
]);

// Names that only Node has.
const nodeNames = /\b(Buffer|process|__dirname|__filename|require|setImmediate)\b(?!\s*:)/g;

const exceptions: Readonly<Record<string, string>> = {
  "src/base/sha256.ts": "asks the runtime for its own SHA-256, and does without in a browser",
};

/** The set with everything that it imports, each with the file by which it came in. */
function reached(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const visit = (file: string, from: string): void => {
    if (found.has(file)) return;
    found.set(file, from);
    for (const target of importsOf(file)) if (target.startsWith("src/")) visit(target, file);
  };
  for (const file of [...folders.flatMap((folder) => filesBelow(folder, ".ts")), ...files]) {
    visit(file, file);
  }
  return found;
}

describe("what runs in a browser", () => {
  const all = reached();

  test("reaches no package that needs Node, and no builtin", () => {
    const wrong = [...all].flatMap(([file, from]) =>
      importsOf(file)
        .filter((target) => !target.startsWith("src/") && !packagesAllowed.has(packageOf(target)))
        .map((target) => `${file} (by ${from}) -> ${target}`),
    );
    assert.deepEqual(wrong, []);
  });

  test("names nothing that only Node has", () => {
    const wrong = [...all.keys()]
      .filter((file) => exceptions[file] === undefined)
      .flatMap((file) =>
        [...bareCode(file).matchAll(nodeNames)].map(([name]) => `${file}: ${name}`),
      );
    assert.deepEqual(wrong, []);
  });

  test("has no exception that is not needed", () => {
    const idle = Object.keys(exceptions).filter((file) => bareCode(file).match(nodeNames) === null);
    assert.deepEqual(idle, []);
  });
});
