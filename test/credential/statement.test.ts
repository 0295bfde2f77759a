import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toBase64url, toHex, utf8 } from "../../src/base/bytes.ts";
import { statementBytesMax } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { createCompact } from "../../src/credential/compact.ts";
import { formatPayload } from "../../src/credential/payloads.ts";
import { missingSigners, requiredSigners } from "../../src/credential/signers.ts";
import {
  createStatement,
  joinSignatures,
  networkId,
  openStatement,
  signPayload,
  verifyStatement,
} from "../../src/credential/statement.ts";
import type { Statement, StatementName } from "../../src/credential/statements.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import {
  assertCode,
  assertRejects,
  forgerOf,
  keyOfSigners,
  signAnything,
  signerOf,
  statementFixtures,
} from "./fixtures.ts";

const verifier = createNodeVerifier();
const { grant, network, gateway } = statementFixtures;
const approver = signerOf("approver");
const kidOf = (signer: Signer): string => thumbprint(signer.publicKey);
const noKey = (): undefined => undefined;

describe("a statement of each type is opened and verified as it was created", () => {
  for (const statement of Object.values(statementFixtures)) {
    test(statement.name, async () => {
      const signers = ["b", "a", "c"].map(signerOf);
      const opened = openStatement(createStatement(statement, signers));
      assert.deepEqual(opened.statement, statement);
      const verified = await verifyStatement(opened, keyOfSigners("a", "b", "c"), verifier);
      assert.deepEqual(verified.statement, statement);
      assert.deepEqual(verified.signers, signers.map(kidOf).toSorted());
      assert.deepEqual(verified.payload, formatPayload(statement));
    });
  }
});

test("a statement of 64 signers is verified", async () => {
  const names = Array.from({ length: 64 }, (_, i) => `signer ${i}`);
  const opened = openStatement(createStatement(grant, names.map(signerOf)));
  const { signers } = await verifyStatement(opened, keyOfSigners(...names), verifier);
  assert.equal(signers.length, 64);
});

describe("a statement is created by", () => {
  test("at least one signer", () => {
    assert.throws(() => createStatement(grant, []), RangeError);
  });
  test("at most 64 signers", () => {
    const many = Array.from({ length: 65 }, (_, i) => signerOf(`signer ${i}`));
    assert.throws(() => createStatement(grant, many), RangeError);
  });
  test("no signer twice", () => {
    assert.throws(() => createStatement(grant, [approver, approver]), RangeError);
  });
  test("signers of a well-formed payload only", () => {
    const { exp: _exp, ...claims } = grant.claims;
    const endless = { ...grant, claims } as Statement;
    assertCode(() => createStatement(endless, [approver]), "STATEMENT_INVALID");
  });
});

test("each city signs the founding document on its own machine, and the parts are joined in order", async () => {
  const payload = formatPayload(network);
  const names = ["hangzhou authority", "hangzhou witness", "shenzhen authority"];
  const more = ["shenzhen witness", "log 0"];
  const sign = (name: string): string => signPayload({ name: "network", payload }, signerOf(name));
  const joined = joinSignatures([...names, ...more, "log 0"].map(sign));
  assert.deepEqual(joined, createStatement(network, [...more, ...names].map(signerOf)));
  const verified = await verifyStatement(openStatement(joined), noKey, verifier);
  assert.deepEqual(
    missingSigners(network, verified.signers, () => false),
    [],
  );
});

test("the network's id is the SHA-256 of the founding document's payload", () => {
  const payload = formatPayload(network);
  assert.equal(toHex(networkId(payload)), toHex(sha256(payload)));
});

describe("a list of signatures is refused with", () => {
  const sorted = createStatement(grant, ["a", "b"].map(signerOf));
  const [one, two] = sorted as [string, string];
  const otherPayload = createStatement(
    { ...grant, claims: { ...grant.claims, iat: grant.claims.iat + 1 } },
    [signerOf("a"), signerOf("b")],
  ) as [string, string];
  const denial = createStatement(statementFixtures.denial, ["a", "b"].map(signerOf));
  const cases: readonly (readonly [string, readonly string[], ReasonCode])[] = [
    ["no signature", [], "STATEMENT_INVALID"],
    ["65 signatures", Array<string>(65).fill(one), "TOO_LARGE"],
    ["kids that descend", [two, one], "NOT_CANONICAL"],
    ["a kid twice", [one, one], "NOT_CANONICAL"],
    ["two payloads", [one, otherPayload[1]], "STATEMENT_INVALID"],
    ["two types", [one, denial[1] as string], "TOKEN_TYP_WRONG"],
    ["one malformed signature", [one, `${two}=`], "TOKEN_MALFORMED"],
  ];
  for (const [name, jws, code] of cases) {
    test(name, () => {
      assertCode(() => openStatement(jws), code);
    });
  }
});

describe("one signature is refused with", () => {
  const kid = kidOf(approver);
  const typ = "causeway-grant+jwt";
  const payload = new TextDecoder().decode(formatPayload(grant));
  const big = { ...grant.claims, grant: { ...grant.body, pad: "a".repeat(statementBytesMax) } };
  const cases: readonly (readonly [string, unknown, unknown, ReasonCode])[] = [
    [
      "a typ that is no statement",
      { alg: "Ed25519", kid, typ: "JWT" },
      payload,
      "STATEMENT_INVALID",
    ],
    [
      "a call token's typ",
      { alg: "Ed25519", kid, typ: "causeway-call+jwt" },
      payload,
      "STATEMENT_INVALID",
    ],
    [
      "another statement's typ",
      { alg: "Ed25519", kid, typ: "causeway-denial+jwt" },
      payload,
      "STATEMENT_INVALID",
    ],
    ["no JSON", { alg: "Ed25519", kid, typ }, "grant", "MALFORMED"],
    ["JSON not sorted", { alg: "Ed25519", kid, typ }, { b: 1, a: 1 }, "NOT_CANONICAL"],
    ["no payload", { alg: "Ed25519", kid, typ }, "", "MALFORMED"],
    ["an oversized payload", { alg: "Ed25519", kid, typ }, big, "TOKEN_TOO_LARGE"],
    ["alg HS256", { alg: "HS256", kid, typ }, payload, "TOKEN_ALG_NOT_ALLOWED"],
  ];
  for (const [name, header, body, code] of cases) {
    test(name, () => {
      assertCode(() => openStatement([signAnything(header, body, approver)]), code);
    });
  }
});

describe("verification fails with", () => {
  const jws = createStatement(grant, [approver]);
  const opened = openStatement(jws);

  test("TOKEN_KEY_UNKNOWN for a signer that the ledger does not bind", async () => {
    await assertRejects(verifyStatement(opened, noKey, verifier), "TOKEN_KEY_UNKNOWN");
  });

  test("TOKEN_KEY_UNKNOWN when the key has another thumbprint", async () => {
    const wrong = (): Uint8Array => signerOf("other").publicKey;
    await assertRejects(verifyStatement(opened, wrong, verifier), "TOKEN_KEY_UNKNOWN");
  });

  test("KEY_NOT_ACCEPTED for a key of small order, whatever its signature", async () => {
    const publicKey = Uint8Array.of(1, ...new Uint8Array(31));
    const forger: Signer = {
      publicKey,
      // R is the identity and S zero: jose and node:crypto alone accept it for every message.
      sign: () => Uint8Array.of(1, ...new Uint8Array(63)),
    };
    const forged = openStatement(createStatement(grant, [forger]));
    await assertRejects(
      verifyStatement(forged, () => publicKey, verifier),
      "KEY_NOT_ACCEPTED",
    );
  });

  test("TOKEN_SIGNATURE_INVALID for a signature of another key under this kid", async () => {
    const forger = forgerOf(approver);
    const forged = openStatement(createStatement(grant, [forger]));
    const known = keyOfSigners("approver");
    await assertRejects(verifyStatement(forged, known, verifier), "TOKEN_SIGNATURE_INVALID");
  });

  test("TOKEN_SIGNATURE_INVALID when one of several signatures is wrong", async () => {
    const forger = forgerOf(signerOf("b"));
    const forged = openStatement(createStatement(grant, [approver, forger]));
    const known = keyOfSigners("approver", "b");
    await assertRejects(verifyStatement(forged, known, verifier), "TOKEN_SIGNATURE_INVALID");
  });

  test("TOKEN_KEY_UNKNOWN when one of several signers is not known", async () => {
    const several = openStatement(createStatement(grant, [approver, signerOf("b")]));
    const known = keyOfSigners("approver");
    await assertRejects(verifyStatement(several, known, verifier), "TOKEN_KEY_UNKNOWN");
  });
});

test("any one character changed makes a statement fail", async () => {
  const [jws] = createStatement(grant, [approver]) as [string];
  const known = keyOfSigners("approver");
  const alphabet = "ABCXYZabcxyz0189-_.=+/ \u00e9".split("");
  const change = fc.record({
    at: fc.nat({ max: jws.length - 1 }),
    by: fc.constantFrom(...alphabet),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ at, by }) => {
      fc.pre(jws[at] !== by);
      const altered = jws.slice(0, at) + by + jws.slice(at + 1);
      await assert.rejects(async () => verifyStatement(openStatement([altered]), known, verifier), {
        name: "CausewayError",
      });
    }),
  );
});

test("every single bit of the signature counts", async () => {
  const payload = formatPayload(grant);
  const jws = createCompact("causeway-grant+jwt", payload, approver);
  const [header, body, signature] = jws.split(".") as [string, string, string];
  const bytes = Uint8Array.from(Buffer.from(signature, "base64url"));
  const known = keyOfSigners("approver");
  for (let bit = 0; bit < 512; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    const opened = openStatement([`${header}.${body}.${toBase64url(flipped)}`]);
    await assertRejects(verifyStatement(opened, known, verifier), "TOKEN_SIGNATURE_INVALID");
  }
});

describe("the signers that a statement needs", () => {
  const keyNames = (statement: Statement): readonly string[] => {
    const names = ["hangzhou", "shenzhen"].flatMap((id) => [`${id} authority`, `${id} witness`]);
    const all = [
      ...names,
      "log 0",
      "civil-affairs authority",
      "gw1 batch",
      "gw1 token",
      "admin",
      "hangzhou witness 2",
      "log 1",
    ];
    const byKey = new Map(all.map((name) => [toHex(signerOf(name).publicKey), name]));
    return requiredSigners(statement).flatMap((required) =>
      "key" in required ? [byKey.get(toHex(required.key)) as string] : [],
    );
  };
  const keys: { readonly [N in StatementName]?: readonly string[] } = {
    network: [
      "hangzhou authority",
      "hangzhou witness",
      "shenzhen authority",
      "shenzhen witness",
      "log 0",
    ],
    city: ["hangzhou witness 2"],
    vote: ["log 1"],
    agency: ["civil-affairs authority"],
    gateway: ["gw1 batch", "gw1 token"],
    administrator: ["admin"],
  };
  const authorities: { readonly [N in StatementName]: string } = {
    network: "",
    city: "authority hangzhou",
    vote: "authority hangzhou",
    agency: "authority hangzhou",
    gateway: "authority hangzhou/civil-affairs",
    administrator: "authority hangzhou/civil-affairs",
    epoch: "authority hangzhou/civil-affairs",
    service: "operator hangzhou/civil-affairs",
    policy: "operator hangzhou/civil-affairs",
    request: "operator shenzhen/market-regulation",
    grant: "approver hangzhou/civil-affairs",
    denial: "approver hangzhou/civil-affairs",
    approval: "approver hangzhou/civil-affairs",
    revocation: "approver hangzhou/civil-affairs",
    resumption: "approver hangzhou/civil-affairs",
    suspension: "authority hangzhou",
  };
  for (const statement of Object.values(statementFixtures)) {
    test(`of type ${statement.name}`, () => {
      assert.deepEqual(keyNames(statement), keys[statement.name] ?? []);
      const others = requiredSigners(statement).flatMap((required) => {
        if ("key" in required) return [];
        if ("authorityOf" in required) return [`authority ${required.authorityOf}`];
        return [`${required.role} ${required.administratorOf}`];
      });
      assert.equal(others.join(), authorities[statement.name]);
    });
  }

  test("are missing until each has signed", () => {
    const authority = kidOf(signerOf("authority"));
    const signers = [authority, kidOf(signerOf("gw1 batch"))];
    const missing = missingSigners(gateway, signers, (kid) => kid === authority);
    assert.deepEqual(missing, [{ key: signerOf("gw1 token").publicKey }]);
    const nobody = missingSigners(gateway, [], () => true);
    assert.equal(nobody.length, 3);
  });

  test("verify under keys that the statement binds and the ledger does not know yet", async () => {
    const signers = ["gw1 batch", "gw1 token"].map(signerOf);
    const opened = openStatement(createStatement(gateway, signers));
    const verified = await verifyStatement(opened, noKey, verifier);
    assert.deepEqual(verified.signers, signers.map(kidOf).toSorted());
  });
});

test("the payload of a statement is what its signers signed, byte for byte", () => {
  const [jws] = createStatement(grant, [approver]) as [string];
  const { payload, signatures } = openStatement([jws]);
  const signed = new TextDecoder().decode(signatures[0]?.signingInput).split(".")[1];
  assert.equal(signed, toBase64url(payload));
  assert.deepEqual(payload, utf8(new TextDecoder().decode(formatPayload(grant))));
});
