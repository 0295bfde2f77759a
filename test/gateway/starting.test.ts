/** What keeps a gateway from starting ends its process with a reason, and leaves nothing behind. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createTwoCities, type TwoCities } from "../support/two-cities.ts";

const program = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));
const endsWithinMs = 20_000;

let cities: TwoCities;

before(async () => {
  cities = await createTwoCities();
});

after(() => cities.remove());

interface Started {
  readonly process: ChildProcess;
  readonly said: () => string;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

function run(): Started {
  const child = spawn(
    process.execPath,
    [program, "gateway", "run", "--config", cities.provider.configFile],
    { stdio: ["ignore", "ignore", "pipe"], timeout: endsWithinMs, killSignal: "SIGKILL" },
  );
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
  });
  const ended = once(child, "close").then(([code, signal]) => (code ?? signal) as number | string);
  return { process: child, said: () => said, ended };
}

async function running(): Promise<Started> {
  const started = run();
  while (!started.said().includes("is running")) {
    if (started.process.exitCode !== null) throw new Error(started.said());
    await once(started.process.stderr as NodeJS.ReadableStream, "data");
  }
  return started;
}

async function assertEndsWith(reason: string, text: RegExp): Promise<void> {
  const { ended, said } = run();
  assert.equal(await ended, 1, said());
  assert.match(said(), new RegExp(`reason  ${reason}:`));
  assert.match(said(), text);
}

describe("a gateway that cannot start", () => {
  for (const name of ["agency", "peer", "http", "witness"] as const) {
    it(`says which address is taken and ends, for the ${name} listener`, async () => {
      const address = cities.provider.addresses[name];
      const [host, port] = address.split(":");
      const other = createServer().listen(Number(port), host);
      await once(other, "listening");
      try {
        await assertEndsWith("LISTENER_FAILED", new RegExp(`the ${name} listener on ${address}`));
      } finally {
        other.close();
      }
    });
  }

  it("ends when the key of the openings is damaged", async () => {
    const key = join(cities.provider.folder, "data", "openings.key");
    copyFileSync(key, `${key}.kept`);
    writeFileSync(key, "short");
    try {
      await assertEndsWith("KEY_LOCKED", /openings\.key/);
    } finally {
      copyFileSync(`${key}.kept`, key);
      rmSync(`${key}.kept`);
    }
  });

  it("names the data that another process holds, and does not disturb that process", async () => {
    const first = await running();
    await assertEndsWith("STORE_LOCKED", /another process holds .*ledger\.sqlite/);
    assert.equal(first.process.exitCode, null);
    const socket = statSync(cities.provider.addresses.admin);
    assert.ok(socket.isSocket(), "the socket of the first one is still there");
    assert.equal(socket.mode & 0o077, 0, "others may not speak to the admin socket");
    first.process.kill("SIGTERM");
    assert.equal(await first.ended, 0, first.said());
  });
});
