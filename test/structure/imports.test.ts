import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { codeOf, importsOf, packageOf, productFiles } from "./source-text.ts";

// A module imports only from those above its own; siblings do not know each other.
const modules: readonly string[] = [
  "src/base",
  "src/gen",
  "src/merkle",
  "src/note",
  "src/crypto",
  "src/record",
  "src/credential",
  "src/registry",
  "src/policy",
  "src/ledger",
  "src/exchange",
  "src/audit",
  "src/evidence",
  "gateway",
];

// Where each package may be named; a package that is not listed has no home yet.
const homes: Readonly<Record<string, RegExp>> = {
  "@bufbuild/protobuf": /^(src|gateway)\//,
  "@cedar-policy/cedar-wasm": /^src\/policy\/cedar-engine\.ts$/,
  "@grpc/grpc-js": /^(gateway|src\/exchange\/transport)\//,
  "@noble/curves": /^src\/crypto\//,
  "@noble/hashes": /^src\/(base\/sha256|crypto\/noble)\.ts$/,
  "@opentelemetry/api": /^gateway\/telemetry[a-z-]*\.ts$/,
  "@opentelemetry/exporter-metrics-otlp-proto": /^gateway\/telemetry-sdk\.ts$/,
  "@opentelemetry/exporter-prometheus": /^gateway\/telemetry-sdk\.ts$/,
  "@opentelemetry/exporter-trace-otlp-proto": /^gateway\/telemetry-sdk\.ts$/,
  "@opentelemetry/resources": /^gateway\/telemetry-sdk\.ts$/,
  "@opentelemetry/sdk-metrics": /^gateway\/telemetry-sdk\.ts$/,
  "@opentelemetry/sdk-trace-base": /^gateway\/telemetry-sdk\.ts$/,
  "age-encryption": /^gateway\/keys\//,
  "better-sqlite3": /^(src\/ledger\/\w+\/sqlite[a-z-]*|gateway\/connectors\/sqlite-process)\.ts$/,
  commander: /^gateway\/cli\//,
  jose: /^src\/credential\//,
  "node:http2": /^(gateway|src\/exchange\/transport)\//,
  pg: /^gateway\/connectors\/postgresql\.ts$/,
  pino: /^gateway\//,
  yaml: /^gateway\//,
  zod: /^gateway\//,
};

const rankOf = (file: string): number =>
  modules.findIndex((module) => file.startsWith(`${module}/`));

const isPackage = (specifier: string): boolean =>
  !/^(src|gateway|test|demo|bench)\//.test(specifier);

describe("imports", () => {
  test("every product file belongs to a module", () => {
    assert.deepEqual(
      productFiles.filter((file) => rankOf(file) < 0),
      [],
    );
  });

  for (const [rank, module] of modules.entries()) {
    test(`${module} imports only from itself and from modules above it`, () => {
      const wrong = productFiles
        .filter((file) => rankOf(file) === rank)
        .flatMap((file) =>
          importsOf(file)
            .filter((target) => !isPackage(target))
            .filter((target) => rankOf(target) < 0 || rankOf(target) > rank)
            .map((target) => `${file} -> ${target}`),
        );
      assert.deepEqual(wrong, []);
    });
  }

  test("every file that is imported exists", () => {
    const missing = productFiles.flatMap((file) =>
      importsOf(file)
        // A thread is started from the compiled file beside.
        .map((target) => target.replace(/\.js$/, ".ts"))
        .filter((target) => !isPackage(target) && target.endsWith(".ts") && !existsSync(target))
        .map((target) => `${file} -> ${target}`),
    );
    assert.deepEqual(missing, []);
  });

  test("every package is named only in its home", () => {
    const strays = productFiles.flatMap((file) =>
      importsOf(file)
        .filter(isPackage)
        .map(packageOf)
        .filter((name) => homes[name]?.test(file) !== true)
        .filter((name) => homes[name] !== undefined || !name.startsWith("node:"))
        .map((name) => `${file} -> ${name}`),
    );
    assert.deepEqual(strays, []);
  });
});

describe("the reading of sources", () => {
  const bare: Readonly<Record<string, readonly [source: string, code: string]>> = {
    "a comment": ["a // process.env\nb /* console.log */ c", "a \nb  c"],
    "a text": ["a(\"process.env\", 'b')", 'a("", "")'],
    "an escaped quote": ['a("\\"process.env", b)', 'a("", b)'],
    "a template with code in it": [
      "`Date.now ${a({ b: `x${c}` })} y`;",
      '`${a({ b: `${c}"" })}"";',
    ],
    "a regular expression with a quote": ["a = /[/\"]'/.test(b) // c", "a = /-/.test(b) "],
    "a division": ["a / b / c", "a / b / c"],
  };
  for (const [name, [source, code]] of Object.entries(bare)) {
    test(`leaves out ${name}`, () => assert.equal(codeOf(source, false), code));
  }

  test("finds imports of every form, and none in a comment", () => {
    const found = importsOf("test/structure/samples/imports.txt");
    assert.deepEqual(found, [
      "node:fs",
      "@scope/name/part",
      "test/structure/samples/a.ts",
      "test/structure/b.ts",
      "test/structure/samples/c.ts",
      "side-effect",
      "test/structure/samples/worker.js",
    ]);
  });
});
