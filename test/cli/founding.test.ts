import assert from "node:assert/strict";
import { cpSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
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
import { assertRefused, causeway, type Ran, temporaryRoot } from "./support.ts";
import { enrolMembers, type Signed, signTwoCities } from "./two-cities.ts";

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
    "--output",
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
