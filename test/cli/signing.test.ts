import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { readStatementFile } from "../../gateway/statement-file.ts";
import {
  assertRefused,
  causeway,
  causewayAsking,
  Machine,
  passphrase,
  temporaryRoot,
} from "./support.ts";
import { addresses, cardOf, initCity, type Signed, signTwoCities } from "./two-cities.ts";

const root = temporaryRoot("signing");
let signed: Signed;
let count = 0;
const fresh = (name: string): string => join(root, `${name}-${(count += 1)}`);

before(async () => {
  signed = await signTwoCities(root);
});

describe("signing", () => {
  test("a folder whose keys a draft does not name signs nothing", async () => {
    const draft = fresh("draft");
    copyFileSync(signed.network, draft);
    const { hangzhou } = signed;
    const ran = await causeway(
      "network",
      "sign",
      "--draft",
      draft,
      "--folder",
      hangzhou.agencyKeys,
      "--passphrase-file",
      hangzhou.machine.passphraseFile,
    );
    assertRefused(ran, "SIGNER_NOT_ALLOWED", 3);
    assert.deepEqual(readStatementFile(draft), readStatementFile(signed.network));
  });

  test("a city of the same id with other keys signs nothing", async () => {
    const impostor = await initCity(new Machine(fresh("impostor")), {
      id: "shenzhen",
      division: "440300",
      agency: "shenzhen/civil-affairs",
      ...addresses(23_000),
      sequencer: false,
    });
    const draft = fresh("draft");
    copyFileSync(signed.hangzhou.machine.at("network.draft"), draft);
    const ran = await causeway(
      "network",
      "sign",
      "--draft",
      draft,
      "--folder",
      impostor.city,
      "--passphrase-file",
      impostor.machine.passphraseFile,
    );
    assertRefused(ran, "SIGNER_NOT_ALLOWED", 3);
    const enrolled = await causeway(
      "agency",
      "enrol",
      "--network",
      signed.network,
      "--card",
      impostor.agencyKeys,
      "--folder",
      impostor.city,
      "--passphrase-file",
      impostor.machine.passphraseFile,
      "--out",
      fresh("statement"),
    );
    assert.match(enrolled.stderr, /names another authority key of shenzhen/);
  });

  test("copies of two different drafts are not merged", async () => {
    const { hangzhou } = signed;
    const other = fresh("draft");
    await causeway(
      "network",
      "draft",
      "--name",
      "Another",
      "--city",
      cardOf(hangzhou.city),
      "--sequencer",
      cardOf(hangzhou.gatewayKeys),
      "--out",
      other,
    );
    const out = fresh("merged");
    const ran = await causeway("network", "merge", signed.network, other, "--out", out);
    assertRefused(ran, "STATEMENT_INVALID", 1);
    assert.ok(!existsSync(out));
  });

  test("a statement says who is missing until the last one has signed", async () => {
    const { hangzhou } = signed;
    const { machine } = hangzhou;
    const out = fresh("statement");
    const enrolled = await causeway(
      "agency",
      "enrol",
      "--network",
      signed.network,
      "--card",
      cardOf(hangzhou.agencyKeys),
      "--out",
      out,
    );
    assert.equal(enrolled.code, 0);
    assert.match(
      enrolled.stderr,
      /Still to sign: hangzhou authority, hangzhou\/market-regulation authority\./,
    );
    await machine.run("statement", "sign", out, "--folder", hangzhou.agencyKeys);
    const shown = await causeway("statement", "show", out, "--output", "json");
    const said = JSON.parse(shown.stdout) as Record<string, unknown>;
    assert.deepEqual(said["signed_by"], ["hangzhou/market-regulation authority"]);
    assert.deepEqual(said["to_sign"], ["hangzhou authority"]);
    assert.equal(said["net"], signed.id);
    const last = await machine.run("statement", "sign", out, "--folder", hangzhou.city);
    assert.match(last.stderr, /signed by all/);
  });

  test("the network's id on every machine is the SHA-256 of the payload", async () => {
    const { hangzhou } = signed;
    const payload = utf8(readStatementFile(signed.network).payload);
    assert.equal(toHex(sha256(payload)), signed.id);
    const signedAgain = await hangzhou.machine.run(
      "network",
      "sign",
      "--draft",
      signed.network,
      "--folder",
      hangzhou.city,
      "--out",
      fresh("again"),
      "--output",
      "json",
    );
    assert.equal(JSON.parse(signedAgain.stdout).network, signed.id);
  });
});

describe("key folders", () => {
  test("a new folder never replaces one that holds anything", async () => {
    const { hangzhou } = signed;
    const before = readFileSync(join(hangzhou.city, "card.json"), "utf8");
    const ran = await causeway(
      "city",
      "init",
      "--id",
      "hangzhou",
      "--division",
      "330100",
      "--witness-address",
      "127.0.0.1:1",
      "--folder",
      hangzhou.city,
      "--passphrase-file",
      hangzhou.machine.passphraseFile,
    );
    assertRefused(ran, "FOLDER_NOT_EMPTY", 1);
    assert.equal(readFileSync(join(hangzhou.city, "card.json"), "utf8"), before);
  });

  test("without a terminal a missing passphrase is wrong usage, and nothing is made", async () => {
    const folder = fresh("keys");
    const ran = await causeway(
      "agency",
      "init",
      "--id",
      "hangzhou/x",
      "--name",
      "X",
      "--role",
      "provider",
      "--folder",
      folder,
    );
    assertRefused(ran, "USAGE_INVALID", 2);
    assert.ok(!existsSync(folder));
  });

  test("a person is asked twice for a new passphrase, and once for a folder's", async () => {
    const { hangzhou } = signed;
    const folder = fresh("keys");
    const init = ["administrator", "init", "--agency", hangzhou.agency, "--role", "auditor"];
    const differing = await causewayAsking([passphrase, "another 12"], ...init, "--folder", folder);
    assertRefused(differing, "USAGE_INVALID", 2);
    assert.ok(!existsSync(folder));
    const made = await causewayAsking([passphrase, passphrase], ...init, "--folder", folder);
    assert.equal(made.code, 0, made.stderr);
    const add = ["administrator", "add", "--network", signed.network, "--card", folder];
    const added = await causewayAsking(
      [passphrase],
      ...add,
      "--folder",
      folder,
      "--out",
      fresh("statement"),
    );
    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stderr, /Still to sign: hangzhou\/market-regulation authority\./);
  });

  test("several folders take one passphrase file, or one each", async () => {
    const { hangzhou } = signed;
    const { passphraseFile } = hangzhou.machine;
    const sign = ["network", "sign", "--draft", signed.network, "--out", fresh("signed")];
    const folders = ["--folder", hangzhou.city, hangzhou.gatewayKeys];
    const each = await causeway(
      ...sign,
      ...folders,
      "--passphrase-file",
      passphraseFile,
      passphraseFile,
    );
    assert.equal(each.code, 0, each.stderr);
    const three = [passphraseFile, passphraseFile, passphraseFile];
    assertRefused(
      await causeway(...sign, ...folders, "--passphrase-file", ...three),
      "USAGE_INVALID",
      2,
    );
  });

  test("the card on standard output is that of the folder, and holds no private key", async () => {
    const machine = new Machine(fresh("machine"));
    const folder = machine.at("keys");
    const ran = await machine.run(
      "administrator",
      "init",
      "--agency",
      "hangzhou/market-regulation",
      "--role",
      "auditor",
      "--folder",
      folder,
    );
    assert.equal(ran.stdout, readFileSync(join(folder, "card.json"), "utf8"));
    assert.deepEqual(Object.keys(JSON.parse(ran.stdout)).sort(), [
      "agency",
      "id",
      "key",
      "kind",
      "roles",
    ]);
  });
});
