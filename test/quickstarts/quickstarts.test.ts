/** Each quickstart as its page says it is run: stock stubs of another language, called through one network of `dev up`. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { freeAddress } from "../support/free-port.ts";
import { type DevUp, program, run, startDevUp, startProgram } from "../support/dev-up.ts";

const optional = (...names: readonly string[]): string => resolve(".cache/optional", ...names);
const page = join("docs", "quickstarts");
const linesMax = 40;

interface Quickstart {
  readonly source: string;
  readonly command: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What `scripts/optional.mjs` makes, and by which name. */
  readonly needs?: { readonly file: string; readonly part: string };
}

const jars = [optional("java/target/classes"), optional("java/target/lib/*")].join(":");

const quickstarts: Readonly<Record<string, Quickstart>> = {
  "grpc-js": {
    source: join(page, "grpc-js/client.mjs"),
    command: process.execPath,
    argv: [join(page, "grpc-js/client.mjs")],
  },
  "Python, grpcio": {
    source: join(page, "python/client.py"),
    command: optional("python/venv/bin/python"),
    argv: [join(page, "python/client.py")],
    env: { PYTHONPATH: optional("python") },
    needs: { file: optional("python.sha256"), part: "python" },
  },
  "Go, grpc-go": {
    source: join(page, "go/client.go"),
    command: optional("quickstart-go/client"),
    argv: [],
    needs: { file: optional("quickstart-go.sha256"), part: "go" },
  },
  "Java, gRPC-Java": {
    source: join(page, "java/src/main/java/Client.java"),
    command: "java",
    argv: ["-Dstdout.encoding=UTF-8", "-cp", jars, "Client"],
    needs: { file: optional("java.sha256"), part: "java" },
  },
};

function missing({ needs }: Quickstart): string | false {
  if (needs === undefined || existsSync(needs.file)) return false;
  return `not installed: node scripts/optional.mjs ${needs.part}`;
}

describe("the quickstarts", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-"));
  let server: ReturnType<typeof startProgram>;
  let dev: DevUp;

  before(async () => {
    const address = await freeAddress();
    server = startProgram(process.execPath, [join(page, "grpc-js/server.mjs"), address]);
    await server.printed((stdout) => stdout.includes("serving"));
    const proto = "proto/causeway/demo/v1/division.proto";
    const readOnly = ["--read-only", "*/Get*", "*/List*"];
    dev = await startDevUp(["--upstream", address, "--proto", proto, ...readOnly], {
      env: { TMPDIR: folder },
    });
  });

  after(async () => {
    await dev?.stop();
    server?.child.kill("SIGKILL");
    await server?.ended;
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [name, quickstart] of Object.entries(quickstarts)) {
    const { source, command, argv, env = {} } = quickstart;

    it(`${name}: the client has less than ${linesMax} lines`, () => {
      const lines = readFileSync(source, "utf8").trimEnd().split("\n").length;
      assert.ok(lines < linesMax, `${source} has ${lines} lines`);
    });

    it(`${name}: reads the answer, its exchange and receipt, and the reason of a refusal`, {
      skip: missing(quickstart),
    }, async () => {
      const { code, stdout, stderr } = await run(command, [...argv, dev.ready.call], { env });
      assert.equal(code, 0, stdout + stderr);
      const [division, exchange, receipt, refused, ...more] = stdout.trimEnd().split(/\r?\n/);
      assert.equal(division, "西湖区");
      assert.match(String(exchange), /^exchange [0-9a-f-]{36}$/);
      assert.match(String(receipt), /^receipt [0-9a-f]{64}\/\d+$/);
      assert.equal(refused, "refused PURPOSE_NOT_GRANTED");
      assert.deepEqual(more, []);
      const show = ["record", "show", String(receipt).slice("receipt ".length)];
      const shown = await run(process.execPath, [
        ...[program, ...show, "--admin", dev.ready.provider.admin, "--output", "json"],
      ]);
      assert.equal((JSON.parse(shown.stdout) as { kind: string }).kind, "receipt");
    });
  }
});
