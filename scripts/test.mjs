// Runs the compiled tests: the usual ones, with `--all` the long ones too, or those whose path contains one of the
// arguments; `--rounds=N` times, until one fails.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const options = process.argv.slice(2).filter((argument) => argument.startsWith("--"));
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
// Whole processes killed many times, large streams, other people's programs: what the usual run has no time for.
const long = [
  "bench/",
  "dev/dev-up",
  "e2e/demo",
  "fault/appointment-kills",
  "fault/connector-kills",
  "fault/failing-disk",
  "fault/four-cities",
  "fault/held-evidence",
  "fault/long-streams",
  "fault/operator",
  "fault/passed-on",
  "fault/quiet-night",
  "fault/revoked-in-flight",
  "fault/stream-kill-points",
  "fault/stream-random-kills",
  "gateway/acknowledgements",
  "gateway/budget",
  "gateway/links-rotation",
  "gateway/recovered",
  "gateway/rolled-back",
  "quickstarts/",
  "simulation/exchange-mutants",
  "thirdparty/",
];
let rounds = 1;
let all = false;
for (const option of options) {
  if (option === "--all") {
    all = true;
    continue;
  }
  const [, count] = /^--rounds=([1-9]\d{0,5})$/.exec(option) ?? [];
  if (count === undefined) {
    process.stderr.write(`unknown option ${option}\n`);
    process.exit(2);
  }
  rounds = Number(count);
}

function testsBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return testsBelow(path);
    return entry.name.endsWith(".test.js") ? [path] : [];
  });
}

const isLong = (path) => long.some((part) => path.includes(part));
const files = testsBelow("dist/test")
  .filter((path) =>
    wanted.length === 0 ? all || !isLong(path) : wanted.some((part) => path.includes(part)),
  )
  .sort();
if (wanted.length === 0 && !all) {
  process.stderr.write(`left to \`npm test -- --all\`, which .ci/run calls: ${long.join(", ")}\n`);
}
if (files.length === 0) {
  process.stderr.write(`no test matches ${wanted.join(" ")}\n`);
  process.exit(1);
}
for (let round = 1; round <= rounds; round += 1) {
  if (rounds > 1) process.stderr.write(`round ${round} of ${rounds}\n`);
  const { status } = spawnSync(
    process.execPath,
    [
      "--no-turbo-inline-js-wasm-calls",
      "--enable-source-maps",
      "--test",
      "--test-reporter=./scripts/reporter.mjs",
      "--test-reporter-destination=stdout",
      // Much of a test's time is waiting: one more than the cores that are counted on.
      "--test-concurrency=3",
      // A test that fails may leave a gateway running in its process: the run ends all the same.
      "--test-force-exit",
      ...files,
    ],
    { stdio: "inherit", env: { ...process.env, ...(all ? { CAUSEWAY_TEST_LONG: "1" } : {}) } },
  );
  if (status !== 0) process.exit(status ?? 1);
}
