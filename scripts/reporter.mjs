/**
 * What a run of the tests prints: whatever a test wrote by itself, every skipped test with its reason, the slowest
 * files, and at the very end each failure in full, so that the tail of a log names what went wrong.
 */
import { mkdirSync, writeFileSync, writeSync } from "node:fs";
import { join, relative } from "node:path";

/** Written at once: the end of a run does not wait for what a stream still holds. */
function print(text) {
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; ) {
    try {
      from += writeSync(1, bytes, from);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

/** @param {{file?: string}} data */
const fileOf = (data) => relative(process.cwd(), data.file ?? "").replace(/^dist\//, "");

function describe(error) {
  const cause = error?.cause ?? error;
  return cause?.stack ?? String(cause);
}

async function* report(events) {
  const files = new Map();
  const failures = [];
  const paths = new Map();
  const counts = { pass: 0, fail: 0, skipped: 0 };
  const started = Date.now();

  // The runner may end the process without asking for what comes last.
  process.once("exit", () => {
    const slowest = [...files].sort(([, a], [, b]) => b.ms - a.ms).slice(0, 10);
    // For whoever wants to know where the time of a run goes.
    const times = Object.fromEntries([...files].map(([file, { ms }]) => [file, Math.round(ms)]));
    mkdirSync(".cache", { recursive: true });
    writeFileSync(join(".cache", "test-times.json"), JSON.stringify(times, undefined, 1));
    for (const [file, { ms }] of slowest) print(`slow: ${file} ${(ms / 1000).toFixed(1)} s\n`);
    const seconds = ((Date.now() - started) / 1000).toFixed(0);
    const { pass, skipped, fail } = counts;
    print(`\ntests: ${pass} passed, ${fail} failed, ${skipped} skipped\n(${seconds} s)\n`);
    if (failures.length > 0) print(`\n${failures.join("")}`);
  });

  for await (const { type, data } of events) {
    const file = fileOf(data);
    if (type === "test:start") {
      const path = paths.get(file) ?? [];
      path.length = data.nesting;
      path[data.nesting] = data.name;
      paths.set(file, path);
    }
    if (type === "test:stderr" || type === "test:stdout") print(data.message);
    if (type !== "test:pass" && type !== "test:fail") continue;
    const suite = data.details?.type === "suite";
    const whole = data.nesting === 0;
    const of = files.get(file) ?? { ms: 0 };
    files.set(file, of);
    if (whole) of.ms += data.details.duration_ms;
    const name = [...(paths.get(file) ?? []).slice(0, data.nesting), data.name].join(" > ");
    if (data.skip !== undefined) {
      counts.skipped += 1;
      print(`skipped: ${file}: ${name}: ${data.skip}\n`);
    } else if (type === "test:fail") {
      // A suite fails with its tests: those are named already.
      const inner = data.details.error?.failureType === "subtestsFailed";
      if (!inner) {
        counts.fail += 1;
        const text = `FAILED ${file}: ${name} (${(data.details.duration_ms / 1000).toFixed(1)} s)\n${describe(data.details.error)}\n\n`;
        failures.push(text);
        print(text);
      }
    } else if (!suite) {
      counts.pass += 1;
    }
  }
  yield "";
}

// oxlint-disable-next-line import/no-default-export -- the test runner takes a reporter no other way
export { report as default };
