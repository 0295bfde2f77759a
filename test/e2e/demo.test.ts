/** The demonstration as a reader runs it: a program, its output, its exit code, and nothing left of it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../demo/main.js", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "causeway-"));
const running = new Set<ChildProcess>();

after(() => {
  for (const child of running) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Demo {
  /** Resolves once standard output holds a text; rejects when the program ends before. */
  printed(text: string): Promise<void>;
  readonly stdout: () => string;
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts the demonstration with a temporary folder of its own, in a process group of its own. */
function start(temporary: string, ...argv: readonly string[]): Demo {
  mkdirSync(temporary, { recursive: true });
  const child = spawn(process.execPath, ["--no-turbo-inline-js-wasm-calls", program, ...argv], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  let [stdout, stderr] = ["", ""];
  let onPrinted = (): void => undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onPrinted();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code]): Ended => {
    running.delete(child);
    return { code: code as number | null, stdout, stderr };
  });
  const printed = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      onPrinted = () => {
        if (stdout.includes(text)) resolve();
      };
      onPrinted();
      void ended.then(() => reject(new Error(`ended before "${text}"\n${stdout}\n${stderr}`)));
    });
  return { child, ended, printed, stdout: () => stdout };
}

/** Addresses in an output that still accept a connection. */
async function answering(output: string): Promise<readonly string[]> {
  const addresses = new Set(output.match(/127\.0\.0\.1:\d+/g) ?? []);
  assert.ok(addresses.size >= 6, "the output names the addresses of both gateways");
  const open = await Promise.all([...addresses].map(isOpen));
  return [...addresses].filter((_, i) => open[i]);
}

function isOpen(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Whether any process of the program's group is left. */
function isGroupAlive({ child }: Demo): boolean {
  try {
    process.kill(-(child.pid as number), 0);
    return true;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ESRCH");
    return false;
  }
}

async function assertNothingLeft(demo: Demo, temporary: string): Promise<void> {
  assert.deepEqual(readdirSync(temporary), []);
  assert.equal(isGroupAlive(demo), false);
  assert.deepEqual(await answering(demo.stdout()), []);
}

describe("the demonstration, played to its end", () => {
  const temporary = join(root, "whole");
  let demo: Demo;
  let ended: Ended;

  before(async () => {
    demo = start(temporary);
    ended = await demo.ended;
  });

  it("ends with exit code 0 and nothing on standard error", () => {
    assert.deepEqual({ code: ended.code, stderr: ended.stderr }, { code: 0, stderr: "" });
  });

  const lines: Readonly<Record<string, RegExp>> = {
    "says that no authority takes part": /no authority takes part/,
    "shows the granted answer": /330106 西湖区 · 国家统计局/,
    "shows the number of villages": / 3320 in all$/m,
    "is refused without a grant": /status 7 {2}GRANT_MISSING/,
    "is refused outside of the purpose": /status 7 {2}PURPOSE_NOT_GRANTED/,
    "is refused on an unknown method": /status 12 {2}METHOD_UNKNOWN/,
    "is refused after the revocation": /status 7 {2}GRANT_REVOKED/,
    "replays without a finding": /decisions_same +3\n +findings_count +0\n/,
    "proves one receipt": /valid +yes\n +record +receipt \d+\/0\n/,
    "finds the changed receipt at its index":
      /BATCH_REJECTED {2}(\d+) [^]*ok found: the first bad index is \1;/,
    "finds the ledger that was cut short": /TRUNCATED/,
    "finds the changed evidence": /step record +failed · PROOF_INVALID/,
  };
  for (const [claim, line] of Object.entries(lines)) {
    it(claim, () => assert.match(ended.stdout, line));
  }

  it("ends with a table of twelve final records at different addresses", () => {
    const rows = ended.stdout.match(/^ {3}\S.* [0-9a-f]{12}…\/\d+ +\d+\/\d+ +final$/gm) ?? [];
    const addresses = rows.map((row) => row.split(/ +/).at(-2));
    assert.equal(rows.length, 12);
    assert.equal(new Set(addresses).size, 12);
  });

  it("leaves no folder, no process and no listener", async () => {
    await assertNothingLeft(demo, temporary);
  });
});

describe("the demonstration, ended early", () => {
  it("by SIGINT in the middle it stops with 130 and leaves nothing", async () => {
    const temporary = join(root, "interrupted");
    const demo = start(temporary);
    await demo.printed("Shenzhen asks for access");
    assert.notDeepEqual(readdirSync(temporary), []);
    demo.child.kill("SIGINT");
    const { code, stderr } = await demo.ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /SIGINT: stopping and cleaning up/);
    await assertNothingLeft(demo, temporary);
  });

  it("by SIGINT to everything, as a terminal sends it, it leaves nothing either", async () => {
    const temporary = join(root, "terminal");
    const demo = start(temporary);
    await demo.printed("Hangzhou publishes a data service");
    process.kill(-(demo.child.pid as number), "SIGINT");
    const { code, stderr } = await demo.ended;
    assert.equal(code, 130, stderr);
    await assertNothingLeft(demo, temporary);
  });

  it("when a step fails it says which, stops with 1 and leaves nothing", async () => {
    // The path of a Unix socket has some 100 bytes: in this folder no gateway can listen.
    const temporary = join(root, "x".repeat(120));
    const demo = start(temporary);
    const { code, stderr } = await demo.ended;
    assert.equal(code, 1);
    assert.match(stderr, /The demonstration failed: .*gateway run --config gateway.yaml/);
    assert.match(stderr, /gateway\.yaml:\d+: listeners\.admin: .* longer than the 103 bytes/);
    await assertNothingLeft(demo, temporary);
  });

  it("with an unknown option it says how it is run, and starts nothing", async () => {
    const temporary = join(root, "usage");
    const { code, stderr, stdout } = await start(temporary, "--kepp").ended;
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /npm run demo \[-- --keep\]/);
    assert.deepEqual(readdirSync(temporary), []);
  });
});

describe("the demonstration with --keep", () => {
  it("goes on until SIGINT, ends with 0 and leaves nothing", async () => {
    const temporary = join(root, "kept");
    const demo = start(temporary, "--keep");
    await demo.printed("Ctrl-C ends it");
    const checkpoint = /(http:\/\/127\.0\.0\.1:\d+\/checkpoint) {2}\/metrics/.exec(
      demo.stdout(),
    )?.[1];
    assert.equal((await fetch(checkpoint ?? "")).status, 200);
    demo.child.kill("SIGINT");
    assert.equal((await demo.ended).code, 0);
    await assertNothingLeft(demo, temporary);
  });
});
