import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { readEnvironment } from "../../gateway/env.ts";
import { findPassphrase, readPassphraseFile } from "../../gateway/keys/passphrase.ts";
import { assertRejects } from "../credential/fixtures.ts";

const root = mkdtempSync(join(tmpdir(), "causeway-passphrase-"));
after(() => rmSync(root, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

describe("a passphrase file", () => {
  for (const [name, content, expected] of [
    ["one line", "a b c d e\n", "a b c d e"],
    ["one line of Windows", "a b c d e\r\n", "a b c d e"],
    ["no line end", "a b c d e", "a b c d e"],
    ["spaces at its ends", " a b c d \n", " a b c d "],
  ] as const) {
    test(`may hold ${name}`, async () => {
      assert.equal(await readPassphraseFile(file(name, content)), expected);
    });
  }

  for (const [name, content] of [
    ["nothing", ""],
    ["an empty line", "\n"],
    ["two lines", "first line\nsecond line\n"],
    ["bytes that are no text", Uint8Array.of(0xff, 0xfe, 0xfd)],
  ] as const) {
    test(`may not hold ${name}`, async () => {
      await assertRejects(readPassphraseFile(file(name, content)), "CONFIG_INVALID");
    });
  }

  test("may not be long", async () => {
    await assertRejects(readPassphraseFile(file("long", "a".repeat(1025))), "TOO_LARGE");
  });

  test("must be there", async () => {
    await assertRejects(readPassphraseFile(join(root, "missing")), "FILE_UNREADABLE");
    await assertRejects(readPassphraseFile(root), "FILE_UNREADABLE");
  });
});

describe("the passphrase is taken", () => {
  const given = file("given", "given on the command line");
  const named = file("named", "named by the environment");
  const environment = readEnvironment({ CAUSEWAY_PASSPHRASE_FILE: named });
  const prompt = (): Promise<string> => Promise.resolve("typed");

  test("from the file of the command line first", async () => {
    const found = await findPassphrase({ file: given, environment, prompt });
    assert.equal(found, "given on the command line");
  });

  test("then from the file that the environment names", async () => {
    assert.equal(await findPassphrase({ environment, prompt }), "named by the environment");
  });

  test("then from the person", async () => {
    const empty = readEnvironment({ CAUSEWAY_PASSPHRASE_FILE: "" });
    assert.equal(await findPassphrase({ environment: empty, prompt }), "typed");
  });

  test("from nowhere else", async () => {
    await assertRejects(findPassphrase({ environment: readEnvironment({}) }), "USAGE_INVALID");
  });

  test("not from the next source when a file cannot be read", async () => {
    const missing = join(root, "missing");
    await assertRejects(findPassphrase({ file: missing, environment, prompt }), "FILE_UNREADABLE");
  });
});
