import assert from "node:assert/strict";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { Decrypter } from "age-encryption";
import { parseBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import { createNodeVerifier, importSigner } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { formatCard, parseCard } from "../../gateway/keys/card.ts";
import {
  createKeyFolder,
  exportWitness,
  openKeyFolder,
  openWitnessKeys,
  readCard,
} from "../../gateway/keys/key-folder.ts";
import type { Owner } from "../../gateway/keys/new-keys.ts";
import { commonName } from "../../gateway/keys/tls.ts";
import { renewKeyFolder } from "../../gateway/keys/renewed-folder.ts";
import { spkiDigest } from "../../gateway/tls.ts";
import { assertCode, assertRejects } from "../credential/fixtures.ts";

const root = mkdtempSync(join(tmpdir(), "causeway-keys-"));
after(() => rmSync(root, { recursive: true, force: true }));

const passphrase = "正确 horse battery";
const nowMs = Date.UTC(2026, 9, 1, 8);
const options = { passphrase, nowMs, scryptLogN: 4 };
let count = 0;
const newPath = (): string => join(root, `folder-${(count += 1)}`);

const city = {
  kind: "city",
  id: "hangzhou",
  division: "330100",
  witnessAddress: "witness.hangzhou.example:7443",
} as const satisfies Owner;
const agency = {
  kind: "agency",
  id: "hangzhou/civil-affairs",
  name: "杭州市民政局",
  roles: ["provider", "data-authority"],
} as const satisfies Owner;
const gateway = {
  kind: "gateway",
  id: "hangzhou/civil-affairs/gw1",
  endpoints: { peer: "gw1.hangzhou.example:7443", http: "gw1.hangzhou.example:8080" },
  sequencer: false,
} as const satisfies Owner;
const administrator = {
  kind: "administrator",
  agency: "hangzhou/civil-affairs",
  roles: ["operator", "approver"],
} as const satisfies Owner;

const verifier = createNodeVerifier();

function assertSigns(signer: Signer, shown: string): void {
  assert.equal(formatKey(signer.publicKey), shown);
  const message = utf8("message");
  assert.ok(verifier.verify(signer.publicKey, message, signer.sign(message)));
}

async function created<O extends Owner>(owner: O): Promise<string> {
  const folder = newPath();
  await createKeyFolder(owner, folder, options);
  return folder;
}

describe("a key folder opens with the keys that its card shows:", () => {
  test("a city's", async () => {
    const folder = newPath();
    const card = await createKeyFolder(city, folder, options);
    const keys = await openKeyFolder(folder, passphrase, "city");
    assert.deepEqual(keys.card, card);
    assertSigns(keys.authority, card.authority);
    assertSigns(keys.witness, card.witness);
    assert.equal(toHex(sha256(keys.nextAuthority?.publicKey as Uint8Array)), card.next);
    assert.equal(spkiDigest(keys.tls.certificateDer), card.witness_tls);
    assert.equal(commonName(keys.tls.certificateDer), "hangzhou/witness");
    const { id, division, witness_address: address } = card;
    assert.deepEqual([id, division, address], [city.id, city.division, city.witnessAddress]);
  });

  test("an agency's, its roles ascending", async () => {
    const folder = newPath();
    const card = await createKeyFolder(agency, folder, options);
    const keys = await openKeyFolder(folder, passphrase, "agency");
    assertSigns(keys.authority, card.authority);
    assert.equal(toHex(sha256(keys.nextAuthority?.publicKey as Uint8Array)), card.next);
    assert.deepEqual(card.roles, ["data-authority", "provider"]);
    assert.equal(card.name, agency.name);
  });

  test("a city's without the next authority key, which may be kept apart and signs nothing meanwhile", async () => {
    const folder = newPath();
    await createKeyFolder(city, folder, options);
    rmSync(join(folder, "next-authority.age"));
    const keys = await openKeyFolder(folder, passphrase, "city");
    assert.equal(keys.nextAuthority, undefined);
    const renewal = { of: keys, change: "authority" } as const;
    await assert.rejects(renewKeyFolder(renewal, newPath(), options), { code: "FILE_UNREADABLE" });
  });

  test("a witness's alone, from a folder that holds nothing more", async () => {
    const whole = newPath();
    const folder = newPath();
    const card = await createKeyFolder(city, whole, options);
    await exportWitness(whole, folder, options);
    const keys = await openWitnessKeys(folder, passphrase);
    assertSigns(keys.witness, card.witness);
    assert.deepEqual(keys.card, card);
    assert.equal(spkiDigest(keys.tls.certificateDer), card.witness_tls);
    assert.deepEqual(readdirSync(folder).toSorted(), [
      "card.json",
      "identity.age",
      "witness-tls.age",
      "witness.age",
    ]);
    await assert.rejects(openKeyFolder(folder, passphrase, "city"), { code: "FILE_UNREADABLE" });
    await assert.rejects(exportWitness(whole, folder, options), { code: "FOLDER_NOT_EMPTY" });
  });

  test("a gateway's", async () => {
    const folder = newPath();
    const card = await createKeyFolder(gateway, folder, options);
    const keys = await openKeyFolder(folder, passphrase, "gateway");
    assertSigns(keys.batch, card.batch);
    assertSigns(keys.token, card.token);
    assert.equal(keys.log, undefined);
    assert.equal("log" in card, false);
    assert.deepEqual(keys.tls.certificateDer, parseBase64(card.certificates[0] as string));
    assert.deepEqual(card.tls, [spkiDigest(keys.tls.certificateDer)]);
    assert.equal(commonName(keys.tls.certificateDer), gateway.id);
    assert.deepEqual(card.endpoints, gateway.endpoints);
  });

  test("a sequencer's, with a log key", async () => {
    const folder = newPath();
    const card = await createKeyFolder({ ...gateway, sequencer: true }, folder, options);
    const { log } = await openKeyFolder(folder, passphrase, "gateway");
    assert.ok(log !== undefined && card.log !== undefined);
    assertSigns(log, card.log);
  });

  test("an administrator's, whose id is the thumbprint of the key", async () => {
    const folder = newPath();
    const card = await createKeyFolder(administrator, folder, options);
    const keys = await openKeyFolder(folder, passphrase, "administrator");
    assertSigns(keys.key, card.key);
    assert.equal(card.id, thumbprint(keys.key.publicKey));
    assert.deepEqual(card.roles, ["approver", "operator"]);
  });

  test("a seed signs as its signer does", async () => {
    const { batch } = await openKeyFolder(await created(gateway), passphrase, "gateway");
    assert.deepEqual(importSigner(batch.seed).publicKey, batch.publicKey);
  });
});

describe("on the disk", () => {
  test("only the owner may read the folder and its files", async () => {
    const folder = await created({ ...gateway, sequencer: true });
    assert.equal(statSync(folder).mode & 0o777, 0o700);
    const files = readdirSync(folder).toSorted();
    const expected = ["batch.age", "card.json", "identity.age", "log.age", "tls.age", "token.age"];
    assert.deepEqual(files, expected);
    for (const file of files) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file);
  });

  test("no private key stands in the clear", async () => {
    const folder = await created(city);
    const { authority, nextAuthority, witness, tls } = await openKeyFolder(
      folder,
      passphrase,
      "city",
    );
    assert.ok(nextAuthority !== undefined);
    const seeds = [authority, nextAuthority, witness].map(({ seed }) => Buffer.from(seed));
    const pem = Buffer.from(tls.privateKeyPem.slice(30, 60));
    for (const file of readdirSync(folder)) {
      const bytes = readFileSync(join(folder, file));
      const texts = seeds.flatMap((seed) => [seed.toString("hex"), seed.toString("base64url")]);
      for (const secret of [...seeds, pem, ...texts]) assert.equal(bytes.indexOf(secret), -1, file);
      if (file.endsWith(".age"))
        assert.match(bytes.toString("latin1"), /^age-encryption\.org\/v1\n/);
    }
  });

  test("every file is plain age: passphrase, identity, key", async () => {
    const folder = await created(administrator);
    const withPassphrase = new Decrypter();
    withPassphrase.addPassphrase(passphrase);
    const sealed = readFileSync(join(folder, "identity.age"));
    const identity = await withPassphrase.decrypt(sealed, "text");
    assert.match(identity, /^AGE-SECRET-KEY-1[A-Z0-9]+\n$/);
    const withIdentity = new Decrypter();
    withIdentity.addIdentity(identity.trim());
    const seed = await withIdentity.decrypt(readFileSync(join(folder, "administrator.age")));
    const { key } = await openKeyFolder(folder, passphrase, "administrator");
    assert.deepEqual(new Uint8Array(seed), key.seed);
  });

  test("the default cost of a guess is that of the age program", async () => {
    const folder = newPath();
    await createKeyFolder(administrator, folder, { passphrase, nowMs });
    const header = readFileSync(join(folder, "identity.age")).toString("latin1");
    assert.match(header, /^age-encryption\.org\/v1\n-> scrypt [A-Za-z0-9+/]{22} 18\n/);
  });

  test("two folders of one owner share no key", async () => {
    const [one, two] = [await readCard(await created(city)), await readCard(await created(city))];
    const keys = [one, two].flatMap((card) =>
      card.kind === "city" ? [card.authority, card.next, card.witness, card.witness_tls] : [],
    );
    assert.equal(new Set(keys).size, 8);
  });
});

describe("a folder is never overwritten:", () => {
  test("one that holds keys keeps them", async () => {
    const folder = await created(agency);
    const before = readFileSync(join(folder, "authority.age"));
    await assertRejects(createKeyFolder(agency, folder, options), "FOLDER_NOT_EMPTY");
    assert.deepEqual(readFileSync(join(folder, "authority.age")), before);
  });

  test("one that holds anything else is left alone", async () => {
    const folder = newPath();
    mkdirSync(folder);
    writeFileSync(join(folder, "notes.txt"), "mine");
    await assertRejects(createKeyFolder(agency, folder, options), "FOLDER_NOT_EMPTY");
    assert.deepEqual(readdirSync(folder), ["notes.txt"]);
  });

  test("a file is no folder", async () => {
    const path = newPath();
    writeFileSync(path, "mine");
    await assertRejects(createKeyFolder(agency, path, options), "FOLDER_NOT_EMPTY");
    assert.equal(readFileSync(path, "utf8"), "mine");
  });

  test("a link that leads nowhere is left alone", async () => {
    const path = newPath();
    symlinkSync(join(root, "nowhere"), path);
    await assertRejects(createKeyFolder(agency, path, options), "FOLDER_NOT_EMPTY");
  });

  test("an empty folder is taken, and closed to others", async () => {
    const folder = newPath();
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    await createKeyFolder(agency, folder, options);
    assert.equal(statSync(folder).mode & 0o777, 0o700);
  });

  test("folders above are created", async () => {
    const folder = join(newPath(), "deep", "down");
    await createKeyFolder(agency, folder, options);
    await openKeyFolder(folder, passphrase);
  });

  test("of several that create it at once one wins, and nothing is left beside it", async () => {
    const folder = newPath();
    const results = await Promise.allSettled(
      [1, 2, 3].map(() => createKeyFolder(agency, folder, options)),
    );
    const lost = results.filter((result) => result.status === "rejected");
    assert.equal(lost.length, 2);
    for (const { reason } of lost) {
      assertCode(() => {
        throw reason;
      }, "FOLDER_NOT_EMPTY");
    }
    const won = results.find((result) => result.status === "fulfilled");
    assert.deepEqual(await readCard(folder), won?.value);
    await openKeyFolder(folder, passphrase);
    const beside = readdirSync(dirname(folder)).filter((name) => name.startsWith(basename(folder)));
    assert.deepEqual(beside, [basename(folder)]);
  });

  test("an owner that is refused leaves nothing behind", async () => {
    const folder = newPath();
    await assertRejects(
      createKeyFolder({ ...agency, id: "Hangzhou/civil" }, folder, options),
      "CARD_INVALID",
    );
    await assertRejects(
      createKeyFolder(agency, folder, { ...options, passphrase: "short" }),
      "USAGE_INVALID",
    );
    assert.throws(() => statSync(folder), { code: "ENOENT" });
  });
});

describe("a folder does not open", () => {
  const open = (folder: string): Promise<unknown> => openKeyFolder(folder, passphrase);

  test("with another passphrase", async () => {
    const folder = await created(city);
    for (const wrong of ["", "wrong passphrase", `${passphrase} `]) {
      await assertRejects(openKeyFolder(folder, wrong), "KEY_LOCKED");
    }
  });

  test("as another kind", async () => {
    await assertRejects(openKeyFolder(await created(city), passphrase, "agency"), "CARD_INVALID");
  });

  test("when it is not there", async () => {
    await assertRejects(open(newPath()), "FILE_UNREADABLE");
  });

  for (const file of ["card.json", "identity.age", "authority.age", "witness-tls.age"]) {
    test(`without ${file}`, async () => {
      const folder = await created(city);
      rmSync(join(folder, file));
      await assertRejects(open(folder), "FILE_UNREADABLE");
    });
  }

  for (const file of ["identity.age", "witness.age", "witness-tls.age"]) {
    test(`when one bit of ${file} has changed`, async () => {
      const folder = await created(city);
      const bytes = readFileSync(join(folder, file));
      for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] as number) ^ 1;
        writeFileSync(join(folder, file), damaged);
        await assertRejects(open(folder), "KEY_LOCKED");
      }
    });

    test(`when ${file} is cut short`, async () => {
      const folder = await created(city);
      const path = join(folder, file);
      writeFileSync(path, readFileSync(path).subarray(0, -1));
      await assertRejects(open(folder), "KEY_LOCKED");
    });
  }

  test("when two of its keys are exchanged", async () => {
    const folder = await created(city);
    copyFileSync(join(folder, "authority.age"), join(folder, "witness.age"));
    await assertRejects(open(folder), "CARD_INVALID");
    const other = await created(city);
    copyFileSync(join(other, "witness-tls.age"), join(other, "authority.age"));
    await assertRejects(open(other), "CARD_INVALID");
  });

  test("with a key of another folder", async () => {
    const folder = await created(agency);
    copyFileSync(join(await created(agency), "authority.age"), join(folder, "authority.age"));
    await assertRejects(open(folder), "KEY_LOCKED");
  });

  test("with the card of another folder", async () => {
    for (const owner of [city, agency, gateway, administrator] as const) {
      const folder = await created(owner);
      copyFileSync(join(await created(owner), "card.json"), join(folder, "card.json"));
      await assertRejects(open(folder), "CARD_INVALID");
    }
  });

  test("with a certificate of another name", async () => {
    const folder = await created(gateway);
    const card = await readCard(folder, "gateway");
    const renamed = { ...card, id: "hangzhou/civil-affairs/gw2" };
    writeFileSync(join(folder, "card.json"), formatCard(renamed));
    await assertRejects(open(folder), "CARD_INVALID");
  });

  test("with the certificate of another key", async () => {
    const folder = await created(gateway);
    const card = await readCard(folder, "gateway");
    const { certificates, tls } = await readCard(await created(gateway), "gateway");
    writeFileSync(join(folder, "card.json"), formatCard({ ...card, certificates, tls }));
    await assertRejects(open(folder), "CARD_INVALID");
  });

  test("when its card is too large", async () => {
    const folder = await created(agency);
    writeFileSync(join(folder, "card.json"), " ".repeat(64 * 1024 + 1));
    await assertRejects(open(folder), "TOO_LARGE");
  });
});

describe("a card", () => {
  test("is parsed as it was printed", async () => {
    for (const owner of [city, agency, { ...gateway, sequencer: true }, administrator]) {
      const card = await readCard(await created(owner));
      assert.deepEqual(parseCard(utf8(formatCard(card)), owner.kind), card);
    }
  });

  test("has exactly the members of its kind", async () => {
    for (const owner of [city, agency, gateway, administrator]) {
      const card = await readCard(await created(owner));
      const extended = JSON.stringify({ ...card, more: 1 });
      assertCode(() => parseCard(utf8(extended)), "CARD_INVALID");
      for (const member of Object.keys(card)) {
        const reduced = JSON.stringify({ ...card, [member]: undefined });
        assertCode(() => parseCard(utf8(reduced)), "CARD_INVALID");
      }
    }
  });

  for (const text of ["", "{", "null", "[]", "1.5", '{"kind":null}', '{"kind":"toString"}']) {
    test(`is not ${JSON.stringify(text)}`, () => {
      assertCode(() => parseCard(utf8(text)), "CARD_INVALID");
    });
  }
});
