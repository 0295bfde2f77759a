/** Backup, restore and recovery by the command line, around a gateway that the program itself runs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { administer, runLoneGateway, service, start } from "./lone-gateway.ts";
import { assertRefused, causeway, type Ran } from "./support.ts";

const lone = runLoneGateway("backup");
const { machine, root, socket, data } = lone;
const config = machine.at("gateway.yaml");
const backup = (out: string, ...more: readonly string[]): Promise<Ran> =>
  causeway("ledger", "backup", "--config", config, "--out", out, ...more, "--output", "json");
const recover = (...more: readonly string[]): Promise<Ran> =>
  causeway("ledger", "recover", "--config", config, ...more, "--output", "json");
const online = join(root, "online");

async function stop(): Promise<void> {
  lone.process.removeAllListeners("exit");
  lone.process.kill("SIGTERM");
  await once(lone.process, "exit");
}

async function status(): Promise<Record<string, unknown>> {
  const ran = await causeway("ledger", "status", "--admin", socket, "--output", "json");
  assert.equal(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

/** Seals one more batch and waits until it is final; the request itself is void. */
async function ask(purpose: string): Promise<void> {
  await administer(
    lone,
    ...["request", "create", "--service", service, "--method", "/a.B/C"],
    ...["--purpose", purpose, "--legal-basis", "PIPL-13"],
  );
}

describe("a backup", { concurrency: false }, () => {
  test("is made while the gateway runs, and holds no key, no opening and no witness state", async () => {
    await ask("a");
    const ran = await backup(online);
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stderr, /Left out: keys, openings .* witness/);
    assert.deepEqual(readdirSync(online).toSorted(), [
      "founding.json",
      "journal.sqlite",
      "ledger.sqlite",
    ]);
    const said = JSON.parse(ran.stdout) as Record<string, unknown>;
    const { registry_digest, sealed } = await status();
    assert.equal(said["registry_digest"], registry_digest);
    assert.equal(String(said["journal_batches"]), sealed);
  });

  test("is not written over another one", async () => {
    assertRefused(await backup(online), "FOLDER_NOT_EMPTY", 1);
  });

  for (const [name, find] of [
    ["ledger.sqlite", "causeway-gateway+jwt"],
    ["journal.sqlite", "causeway-gateway+jwt"],
  ] as const) {
    test(`with a changed record in ${name} does not verify`, async () => {
      const damaged = join(root, `damaged-${name}`);
      mkdirSync(damaged);
      for (const file of readdirSync(online)) {
        copyFileSync(join(online, file), join(damaged, file));
      }
      const path = join(damaged, name);
      const bytes = readFileSync(path);
      // The protected header of a statement inside a stored body; its last character is changed.
      const typ = Buffer.from(JSON.stringify({ typ: find }).slice(1, -1)).toString("base64url");
      const at = locate(bytes, typ);
      bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41;
      writeFileSync(path, bytes);
      assertRefused(await backup(damaged, "--verify"), "STORAGE_FAILED", 1);
      assert.equal((await backup(online, "--verify")).code, 0);
    });
  }
});

/** Some byte inside a statement: base64 of the same text differs by its place, so the middle is looked for. */
function locate(bytes: Buffer, text: string): number {
  const found = [0, 1, 2]
    .map((skip) => bytes.indexOf(text.slice(8 + skip, 20 + skip)))
    .filter((at) => at >= 0);
  const at = found[0] ?? bytes.indexOf("eyJ");
  assert.ok(at > 0, "a statement stands in the file");
  return at + 4;
}

describe("a restored journal", { concurrency: false }, () => {
  test("is recovered into a new epoch, which the authority of the agency signs", async () => {
    await ask("b");
    await stop();
    for (const suffix of ["-wal", "-shm"])
      rmSync(join(data, `journal.sqlite${suffix}`), { force: true });
    copyFileSync(join(online, "journal.sqlite"), join(data, "journal.sqlite"));

    const ran = await recover();
    assert.equal(ran.code, 0, ran.stderr);
    const row = JSON.parse(ran.stdout) as Record<string, string>;
    assert.deepEqual([row["journal"], row["final"]], ["rebuilt", true]);
    assert.match(row["replaced"] as string, /journal\.sqlite\.replaced-1$/);
    const statement = row["statement"] as string;
    assertRefused(await recover("--epoch-statement", statement), "STATEMENT_SIGNER_MISSING", 3);
    await machine.run("statement", "sign", statement, "--folder", lone.city.agencyKeys);
    const again = await recover();
    assert.equal(again.code, 0, again.stderr);
    assert.ok(readFileSync(statement, "utf8").includes('"jws"'), "the signed draft is kept");

    const begun = await recover("--epoch-statement", statement);
    assert.equal(begun.code, 0, begun.stderr);
    assert.equal((JSON.parse(begun.stdout) as Record<string, string>)["epoch"], "1");

    await start(lone);
    await ask("c");
    const deadlineMs = Date.now() + 20_000;
    for (;;) {
      const said = await status();
      if (said["ready"] === true && said["not_final"] === "0") break;
      assert.ok(Date.now() < deadlineMs, JSON.stringify(said));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });

  test("is left alone while the gateway runs, or when nothing is lost", async () => {
    assertRefused(await recover(), "STORE_LOCKED", 1);
    await stop();
    const ran = await recover();
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal((JSON.parse(ran.stdout) as Record<string, string>)["journal"], "whole");
  });
});
