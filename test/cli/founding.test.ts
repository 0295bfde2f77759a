import assert from "node:assert/strict";
import { copyFileSync, cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { foundLedger } from "../../src/ledger/embedded/founding.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { apply } from "../../src/registry/apply.ts";
import { initialState } from "../../src/registry/initial.ts";
import { verifyBatch } from "../../src/registry/verify-batch.ts";
import { systemClock } from "../../gateway/runtime.ts";
import { readStatementFile, writeStatementFile } from "../../gateway/statement-file.ts";
import {
  causeway,
  causewayAsking,
  Machine,
  passphrase,
  type Ran,
  temporaryRoot,
} from "./support.ts";
import {
  addresses,
  cardOf,
  enrolMembers,
  initCity,
  type Signed,
  signTwoCities,
} from "./two-cities.ts";

const root = temporaryRoot("founding");
let signed: Signed;
let count = 0;
const fresh = (name: string): string => join(root, `${name}-${(count += 1)}`);

before(async () => {
  signed = await signTwoCities(root);
});

async function found(
  change: Partial<{
    network: string;
    statements: readonly string[];
    folder: string;
    data: string;
  }> = {},
): Promise<Ran & { readonly data: string }> {
  const { hangzhou } = signed;
  const { network, statements, folder, data } = {
    network: signed.network,
    statements: signed.statements,
    folder: hangzhou.gatewayKeys,
    data: fresh("data"),
    ...change,
  };
  const ran = await causeway(
    "network",
    "found",
    "--network",
    network,
    "--statement",
    ...statements,
    "--folder",
    folder,
    "--passphrase-file",
    hangzhou.machine.passphraseFile,
    "--data",
    data,
    "--format",
    "json",
  );
  return { ...ran, data };
}

/** A copy of a statement file with one change. */
function changed(
  file: string,
  change: (text: ReturnType<typeof readStatementFile>) => object,
): string {
  const copy = fresh("changed");
  const before = readStatementFile(file);
  writeStatementFile(copy, { ...before, ...change(before) });
  return copy;
}

function assertRefused(ran: Ran, reason: string, code: number): void {
  assert.match(ran.stderr, new RegExp(`reason  ${reason}:`), ran.stderr);
  assert.equal(ran.code, code);
}

describe("founding on two machines", () => {
  test("batch 0 opens, verifies and founds what the command says", async () => {
    const ran = await found();
    assert.equal(ran.code, 0, ran.stderr);
    const said = JSON.parse(ran.stdout) as Record<string, unknown>;
    assert.equal(said["network"], signed.id);
    assert.deepEqual(said["cities"], ["hangzhou", "shenzhen"]);

    const reader = openSqliteJournalReader(join(ran.data, "journal.sqlite"));
    const batch = reader.batch(0);
    assert.equal(reader.batchCount(), 1);
    reader.close();
    assert.ok(batch !== undefined);
    const { header } = openLeaf(batch.leaf);
    assert.equal(header.gateway, "hangzhou/market-regulation/gw1");
    assert.deepEqual([header.epoch, header.seq, header.seenSize], [0n, 0n, 0n]);

    const state = initialState(Buffer.from(signed.id, "hex"));
    const verified = await verifyBatch(state, batch, createNodeVerifier());
    assert.ok(verified.kind === "verified");
    const applied = apply(state, verified, 0n, () => emptyRoot);
    assert.ok(applied.kind === "applied");
    assert.deepEqual(applied.voids, []);
    assert.deepEqual(
      [...applied.state.agencies.keys()],
      ["hangzhou/market-regulation", "shenzhen/civil-affairs"],
    );
    assert.equal([...applied.state.gateways.keys()].length, 2);
    assert.equal([...applied.state.administrators.keys()].length, 2);
    assert.equal(applied.state.network?.body.quorum, 2);
    assert.ok(applied.state.network.body.calendar.years.length > 20);
  });

  test("the ledger holds exactly the journal's batch 0", async () => {
    const { data, code } = await found();
    assert.equal(code, 0);
    const reader = openSqliteJournalReader(join(data, "journal.sqlite"));
    const batch = reader.batch(0);
    reader.close();
    assert.ok(batch !== undefined);
    const founding = utf8(readStatementFile(signed.network).payload);
    const options = { folder: data, founding, verifier: createNodeVerifier(), clock: systemClock };
    await foundLedger(options, batch);
    const other = {
      ...batch,
      leaf: Uint8Array.from(batch.leaf, (byte, i) => (i === 0 ? byte ^ 1 : byte)),
    };
    await assert.rejects(foundLedger(options, other), { code: "FOLDER_NOT_EMPTY" });
  });

  test("the same command again changes nothing", async () => {
    const first = await found();
    const again = await found({ data: first.data, statements: signed.statements.toReversed() });
    assert.deepEqual(again, { ...first, stderr: again.stderr });
  });

  test("an interrupted founding goes on with the batch that was sealed", async () => {
    const first = await found();
    const data = fresh("data");
    cpSync(first.data, data, {
      recursive: true,
      filter: (file) => !file.includes("ledger.sqlite"),
    });
    assert.ok(!existsSync(join(data, "ledger.sqlite")));
    const second = await found({ data });
    assert.equal(second.code, 0, second.stderr);
    assert.equal(JSON.parse(second.stdout).handle, JSON.parse(first.stdout).handle);
    assert.ok(existsSync(join(data, "ledger.sqlite")));
  });
});

describe("what is not founded", () => {
  test("a second network in the same data folder", async () => {
    const { data } = await found();
    const other = await signTwoCities(fresh("other"));
    const ran = await causeway(
      "network",
      "found",
      "--network",
      other.network,
      "--statement",
      ...other.statements,
      "--folder",
      other.hangzhou.gatewayKeys,
      "--passphrase-file",
      other.hangzhou.machine.passphraseFile,
      "--data",
      data,
    );
    assertRefused(ran, "JOURNAL_MISMATCH", 1);
  });

  test("other statements in the same data folder", async () => {
    const { data } = await found();
    const again = await enrolMembers(signed.hangzhou, signed.network, fresh("again"));
    const statements = [...again, ...signed.statements.slice(3)];
    assertRefused(await found({ data, statements }), "FOLDER_NOT_EMPTY", 1);
  });

  test("a founding document that one city has not signed", async () => {
    const { hangzhou, shenzhen } = signed;
    const draft = hangzhou.machine.at("network.draft");
    const ran = await found({ network: draft });
    assertRefused(ran, "STATEMENT_SIGNER_MISSING", 3);
    assert.match(ran.stderr, new RegExp(`${shenzhen.id} authority, ${shenzhen.id} witness`));
    assert.ok(!existsSync(ran.data));
  });

  test("a founding document whose payload was changed after it was signed", async () => {
    const network = changed(signed.network, ({ payload }) => ({
      payload: payload.replace('"quorum":2', '"quorum":1'),
    }));
    assertRefused(await found({ network }), "STATEMENT_INVALID", 1);
  });

  test("a founding document with two cities under one quorum of each alone", async () => {
    const network = changed(signed.network, ({ payload }) => ({
      payload: payload.replace('"quorum":2', '"quorum":1'),
      jws: [],
    }));
    assertRefused(await found({ network }), "STATEMENT_INVALID", 1);
  });

  test("a founding document with a signature whose bytes were changed", async () => {
    const network = changed(signed.network, ({ jws }) => ({
      jws: jws.map((text, i) => {
        if (i > 0) return text;
        const at = text.lastIndexOf(".") + 5;
        return text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
      }),
    }));
    assertRefused(await found({ network }), "TOKEN_SIGNATURE_INVALID", 4);
  });

  test("a statement of another network", async () => {
    const other = await signTwoCities(fresh("other"));
    const [first, ...rest] = signed.statements;
    assert.ok(first !== undefined);
    const statements = [other.statements[0] as string, ...rest];
    assertRefused(await found({ statements }), "TOKEN_KEY_UNKNOWN", 4);
  });

  test("a statement given twice", async () => {
    const statements = [...signed.statements, signed.statements[0] as string];
    assertRefused(await found({ statements }), "REPLAYED", 1);
  });

  test("a founding city without an administrator", async () => {
    const ran = await found({ statements: signed.statements.slice(0, -1) });
    assertRefused(ran, "MEMBER_UNKNOWN", 1);
    assert.match(ran.stderr, /shenzhen is founded without administrator/);
  });

  test("a network whose sequencer's gateway is not among the statements' agencies", async () => {
    const [agency, , administrator, ...theirs] = signed.statements as [string, string, string];
    assertRefused(
      await found({ statements: [agency, administrator, ...theirs] }),
      "MEMBER_UNKNOWN",
      1,
    );
  });

  test("a network by the keys of another gateway", async () => {
    const { shenzhen } = signed;
    assertRefused(await found({ folder: shenzhen.gatewayKeys }), "GATEWAY_UNKNOWN", 3);
  });

  test("a network by keys that are not a gateway's", async () => {
    assertRefused(await found({ folder: signed.hangzhou.city }), "CARD_INVALID", 1);
  });

  test("anything with a wrong passphrase", async () => {
    const wrong = fresh("wrong");
    writeFileSync(wrong, "another passphrase\n");
    const ran = await causeway(
      "network",
      "found",
      "--network",
      signed.network,
      "--statement",
      ...signed.statements,
      "--folder",
      signed.hangzhou.gatewayKeys,
      "--passphrase-file",
      wrong,
      "--data",
      fresh("data"),
    );
    assertRefused(ran, "KEY_LOCKED", 1);
  });
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
    assertRefused(enrolled, "SIGNER_NOT_ALLOWED", 3);
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
    const shown = await causeway("statement", "show", out, "--format", "json");
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
      "--format",
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
    assertRefused(ran, "CONFIG_INVALID", 2);
    assert.ok(!existsSync(folder));
  });

  test("a person is asked twice for a new passphrase, and once for a folder's", async () => {
    const { hangzhou } = signed;
    const folder = fresh("keys");
    const init = ["administrator", "init", "--agency", hangzhou.agency, "--role", "auditor"];
    const differing = await causewayAsking([passphrase, "another 12"], ...init, "--folder", folder);
    assertRefused(differing, "CONFIG_INVALID", 2);
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
      "CONFIG_INVALID",
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
