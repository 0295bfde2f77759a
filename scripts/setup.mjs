// Installs, generates and builds what is missing or older than its source; does nothing when all is fresh.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const bin = (name) => join("node_modules", ".bin", name);

function run(title, command, args) {
  process.stderr.write(`setup: ${title} ...\n`);
  const started = Date.now();
  const path = `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH}`;
  const env = { ...process.env, PATH: path };
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env });
  if (status !== 0) {
    process.stderr.write(`${stdout ?? ""}${stderr ?? ""}${error ?? ""}\nsetup: ${title} failed\n`);
    process.exit(1);
  }
  process.stderr.write(`setup: ${title} done in ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
}

function filesBelow(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function digestOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths.sort()) hash.update(path).update("\0").update(readFileSync(path));
  return hash.digest("hex");
}

// A step runs again when the digest of what it reads has changed, or what it makes is gone.
function step({ name, title, inputs, output, work }) {
  const stamp = join(".cache", `${name}.sha256`);
  const digest = digestOf(inputs);
  if (existsSync(output) && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  work(title);
  mkdirSync(".cache", { recursive: true });
  writeFileSync(stamp, digest);
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`setup: Node 20.19 or newer is needed, this is ${process.versions.node}\n`);
  process.exit(1);
}

step({
  name: "install",
  title: "installing packages (better-sqlite3 may compile from source, about a minute)",
  inputs: ["package.json", "package-lock.json"],
  output: "node_modules/.package-lock.json",
  work: (title) => run(title, "npm", ["install", "--no-save", "--no-audit", "--no-fund"]),
});
step({
  name: "generate",
  title: "generating code from proto/",
  inputs: ["buf.yaml", "buf.gen.yaml", ...filesBelow("proto")],
  output: "src/gen",
  work: (title) => run(title, bin("buf"), ["generate"]),
});
const sources = ["src", "gateway", "test", "bench", "demo"].flatMap(filesBelow);
step({
  name: "build",
  title: "building",
  inputs: [
    "tsconfig.json",
    ...sources.filter((path) => path.endsWith(".ts") && statSync(path).isFile()),
  ],
  output: "dist",
  work: (title) => run(title, bin("tsc"), ["-p", "."]),
});
