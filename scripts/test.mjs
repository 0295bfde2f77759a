// Runs the compiled tests: all, or those whose path contains one of the arguments.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const wanted = process.argv.slice(2);

function testsBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return testsBelow(path);
    return entry.name.endsWith(".test.js") ? [path] : [];
  });
}

const files = testsBelow("dist/test")
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`no test matches ${wanted.join(" ")}\n`);
  process.exit(1);
}
const { status } = spawnSync(
  process.execPath,
  [
    "--no-turbo-inline-js-wasm-calls",
    "--enable-source-maps",
    "--test",
    "--test-concurrency=2",
    ...files,
  ],
  { stdio: "inherit" },
);
process.exit(status ?? 1);
