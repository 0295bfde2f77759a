import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { CausewayError } from "../../src/base/errors.ts";
import { agencyTokenBytesMax } from "../../src/base/limits.ts";
import {
  type AgencyToken,
  type AgencyTokenRules,
  openAgencyToken,
  verifyAgencyToken,
} from "../../src/credential/agency-token.ts";
import { type KeySet, parseKeySet } from "../../src/credential/key-set.ts";
import { parseUniqueJson } from "../../src/credential/unique-json.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import {
  audience,
  createKey,
  createToken,
  goodClaims,
  hmacWith,
  issuer,
  keySetOf,
  nowS,
  type SigningKey,
  type TokenParts,
} from "./identity-provider.ts";

const verifier = createNobleVerifier();
const edwards = createKey("ed-1", "EdDSA");
const nist = createKey("ec-1", "ES256");
const stranger = createKey("ed-1", "EdDSA");
const keys: KeySet = await parseKeySet(Buffer.from(keySetOf(edwards, nist)), verifier);

const rules: AgencyTokenRules = {
  issuer,
  audiences: [audience],
  algorithms: ["Ed25519", "EdDSA", "ES256"],
  types: ["at+jwt"],
  systemClaim: "client_id",
  officialClaim: "officer",
  ageMaxS: 600,
  skewS: 30,
};

function verify(text: string, more: Partial<AgencyTokenRules> = {}): Promise<AgencyToken> {
  const token = openAgencyToken(text);
  return verifyAgencyToken({ token, rules: { ...rules, ...more }, keys, nowMs: Date.now() });
}

async function reasonOf(text: string, more: Partial<AgencyTokenRules> = {}): Promise<string> {
  try {
    await verify(text, more);
  } catch (error) {
    return (error as CausewayError).code;
  }
  return "none";
}

describe("a token of an identity provider is accepted", () => {
  for (const key of [edwards, nist]) {
    test(`under ${key.alg}, and names its system`, async () => {
      const token = await verify(createToken(key));
      assert.equal(token.client, "portal");
      assert.equal(token.official, undefined);
    });
  }

  const good: Readonly<Record<string, TokenParts>> = {
    "under the newer name of EdDSA": { header: { alg: "Ed25519" } },
    "with a media type as typ": { header: { typ: "application/AT+JWT" } },
    "with the thumbprint of a certificate in its header, which is not looked at": {
      header: { "x5t#S256": "AAAA" },
    },
    "with several audiences": { claims: goodClaims({ aud: ["another", audience] }) },
    "with nbf within the skew": { claims: goodClaims({ nbf: nowS() + 20 }) },
    "with exp passed within the skew": { claims: goodClaims({ exp: nowS() - 20 }) },
    "with claims that nobody asked for": {
      claims: goodClaims({ scope: "read", nested: { a: [1] } }),
    },
  };
  for (const [what, parts] of Object.entries(good)) {
    test(what, async () => assert.equal(await reasonOf(createToken(edwards, parts)), "none"));
  }

  test("with its official and until its exp and the skew have passed", async () => {
    const exp = nowS() + 120;
    const token = await verify(
      createToken(edwards, { claims: goodClaims({ exp, officer: "王芳" }) }),
    );
    assert.equal(token.official, "王芳");
    assert.equal(token.acceptedUntilMs, (exp + 30) * 1000);
  });

  test("until its greatest age, when that comes before exp", async () => {
    const iat = nowS() - 100;
    const token = await verify(
      createToken(edwards, { claims: goodClaims({ iat, exp: iat + 9999 }) }),
    );
    assert.equal(token.acceptedUntilMs, (iat + 600 + 30) * 1000);
  });
});

describe("a token is refused", () => {
  const publicKey = JSON.stringify(edwards.jwk);
  const twice = JSON.stringify(goodClaims()).replace(/^\{/, '{"client_id":"desk",');
  const escaped = JSON.stringify(goodClaims()).replace(/^\{/, '{"client\\u005fid":"desk",');
  const bad: Readonly<
    Record<string, readonly [reason: string, parts: TokenParts, key?: SigningKey]>
  > = {
    "with alg none and no signature": [
      "TOKEN_ALG_NOT_ALLOWED",
      { header: { alg: "none" }, signature: () => Buffer.alloc(0) },
    ],
    "with alg None in another spelling": ["TOKEN_ALG_NOT_ALLOWED", { header: { alg: "nOnE" } }],
    "with HS256 over the public key": [
      "TOKEN_ALG_NOT_ALLOWED",
      { header: { alg: "HS256" }, signature: hmacWith(publicKey) },
    ],
    "with RS256": ["TOKEN_ALG_NOT_ALLOWED", { header: { alg: "RS256" } }],
    "with the other algorithm than its key's": ["TOKEN_KEY_UNKNOWN", { header: { alg: "ES256" } }],
    "signed with another key under the same kid": ["TOKEN_SIGNATURE_INVALID", {}, stranger],
    "with an HMAC under an allowed name": [
      "TOKEN_SIGNATURE_INVALID",
      { signature: hmacWith(publicKey) },
    ],
    "with a signature of no bytes": [
      "TOKEN_SIGNATURE_INVALID",
      { signature: () => Buffer.alloc(0) },
    ],
    "with an ES256 signature of zeros": [
      "TOKEN_SIGNATURE_INVALID",
      { signature: () => Buffer.alloc(64) },
      nist,
    ],
    "with typ JWT": ["TOKEN_TYP_WRONG", { header: { typ: "JWT" } }],
    "with typ of a call token": ["TOKEN_TYP_WRONG", { header: { typ: "causeway-call+jwt" } }],
    "without typ": ["TOKEN_TYP_WRONG", { header: { typ: undefined } }],
    "of another issuer": ["TOKEN_ISSUER_WRONG", { claims: goodClaims({ iss: `${issuer}/` }) }],
    "without an issuer": ["TOKEN_CLAIMS_INVALID", { claims: goodClaims({ iss: undefined }) }],
    "for another audience": ["TOKEN_AUDIENCE_WRONG", { claims: goodClaims({ aud: "other" }) }],
    "for an audience that only begins alike": [
      "TOKEN_AUDIENCE_WRONG",
      { claims: goodClaims({ aud: `${audience}0` }) },
    ],
    "without an audience": ["TOKEN_CLAIMS_INVALID", { claims: goodClaims({ aud: undefined }) }],
    "with no audience in its list": ["TOKEN_AUDIENCE_WRONG", { claims: goodClaims({ aud: [] }) }],
    "with an audience that is a number": [
      "TOKEN_CLAIMS_INVALID",
      { claims: goodClaims({ aud: 7 }) },
    ],
    "that has expired": ["TOKEN_EXPIRED", { claims: goodClaims({ exp: nowS() - 31 }) }],
    "that is older than the greatest age": [
      "TOKEN_EXPIRED",
      { claims: goodClaims({ iat: nowS() - 631, exp: nowS() + 300 }) },
    ],
    "that is not valid yet": ["TOKEN_NOT_YET_VALID", { claims: goodClaims({ nbf: nowS() + 60 }) }],
    "issued in the future": ["TOKEN_NOT_YET_VALID", { claims: goodClaims({ iat: nowS() + 60 }) }],
    "without exp": ["TOKEN_CLAIMS_INVALID", { claims: goodClaims({ exp: undefined }) }],
    "with exp as text": ["TOKEN_CLAIMS_INVALID", { claims: goodClaims({ exp: "9999999999" }) }],
    "with an exp beyond all numbers": [
      "TOKEN_CLAIMS_INVALID",
      { claims: JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":1e999') },
    ],
    "without iat": ["TOKEN_CLAIMS_INVALID", { claims: goodClaims({ iat: undefined }) }],
    "without the claim of its system": [
      "TOKEN_CLAIMS_INVALID",
      { claims: goodClaims({ client_id: undefined }) },
    ],
    "with a list of systems": [
      "TOKEN_CLAIMS_INVALID",
      { claims: goodClaims({ client_id: ["portal"] }) },
    ],
    "with its system given twice": ["TOKEN_CLAIMS_INVALID", { claims: twice }],
    "with its system given twice, once escaped": ["TOKEN_CLAIMS_INVALID", { claims: escaped }],
    "with an official that is too long": [
      "TOKEN_CLAIMS_INVALID",
      { claims: goodClaims({ officer: "王".repeat(86) }) },
    ],
    "with half a character as its official": [
      "TOKEN_CLAIMS_INVALID",
      { claims: JSON.stringify(goodClaims({ officer: "x" })).replace('"x"', '"\\ud800"') },
    ],
    "bound to a key in a way that is not checked here": [
      "TOKEN_CLAIMS_INVALID",
      { claims: goodClaims({ cnf: { jkt: "AAAA" } }) },
    ],
    "with claims that are a list": ["TOKEN_CLAIMS_INVALID", { claims: "[]" }],
    "with claims that are no JSON": ["TOKEN_CLAIMS_INVALID", { claims: "{" }],
    "without a kid": ["TOKEN_HEADER_INVALID", { header: { kid: undefined } }],
    "with a kid that is a path": ["TOKEN_KEY_UNKNOWN", { header: { kid: "../../../dev/null" } }],
    "with a kid that is a URL": ["TOKEN_KEY_UNKNOWN", { header: { kid: "http://127.0.0.1:1/k" } }],
    "with a kid that is a query": ["TOKEN_KEY_UNKNOWN", { header: { kid: "x' UNION SELECT 'k" } }],
    "with a kid that every object has": ["TOKEN_KEY_UNKNOWN", { header: { kid: "__proto__" } }],
    "with a kid of 257 characters": ["TOKEN_HEADER_INVALID", { header: { kid: "k".repeat(257) } }],
    "with a key of its own": ["TOKEN_HEADER_INVALID", { header: { jwk: stranger.jwk } }, stranger],
    "with a place for its keys": [
      "TOKEN_HEADER_INVALID",
      { header: { jku: "https://evil.example" } },
    ],
    "with a place for its certificate": [
      "TOKEN_HEADER_INVALID",
      { header: { x5u: "https://e.example" } },
    ],
    "with a certificate": ["TOKEN_HEADER_INVALID", { header: { x5c: ["AAAA"] } }],
    "with a critical extension": ["TOKEN_HEADER_INVALID", { header: { crit: ["exp"], exp: 1 } }],
    "with an unencoded payload": [
      "TOKEN_HEADER_INVALID",
      { header: { b64: false, crit: ["b64"] } },
    ],
  };
  for (const [what, [reason, parts, key]] of Object.entries(bad)) {
    test(`${what}: ${reason}`, async () => {
      assert.equal(await reasonOf(createToken(key ?? edwards, parts)), reason);
    });
  }

  const good = createToken(edwards);
  const texts: Readonly<Record<string, readonly [reason: string, text: string]>> = {
    "of two segments": ["TOKEN_MALFORMED", good.slice(0, good.lastIndexOf("."))],
    "of four segments": ["TOKEN_MALFORMED", `${good}.`],
    "with padding": ["TOKEN_MALFORMED", `${good}=`],
    "with a space": ["TOKEN_MALFORMED", good.replace(".", ". ")],
    "encrypted (five segments)": ["TOKEN_MALFORMED", "a.b.c.d.e"],
    "that is empty": ["TOKEN_MALFORMED", ""],
    "of more than 8 KiB": ["TOKEN_TOO_LARGE", good.padEnd(agencyTokenBytesMax + 1, "A")],
  };
  for (const [what, [reason, text]] of Object.entries(texts)) {
    test(`${what}: ${reason}`, async () => assert.equal(await reasonOf(text), reason));
  }

  test("under an algorithm that its issuer does not use: TOKEN_ALG_NOT_ALLOWED", async () => {
    assert.equal(
      await reasonOf(createToken(nist), { algorithms: ["EdDSA"] }),
      "TOKEN_ALG_NOT_ALLOWED",
    );
  });

  test("whichever single character of it changes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 1),
        fc.constantFrom("A", "a", "0", "-", "_", "."),
        async (at, letter) => {
          fc.pre(good[at] !== letter);
          const changed = good.slice(0, at) + letter + good.slice(at + 1);
          assert.match(await reasonOf(changed), /^TOKEN_/);
        },
      ),
    );
  });
});

describe("a JWK set", () => {
  const ofJwks = (...jwks: readonly object[]): Uint8Array =>
    Buffer.from(JSON.stringify({ keys: jwks }));
  const parse = (bytes: Uint8Array): Promise<KeySet> => parseKeySet(bytes, verifier);

  test("gives the keys that verify, and leaves out what nothing can name", async () => {
    const { kid: _, ...nameless } = nist.jwk as Record<string, unknown>;
    const encryption = { ...createKey("enc", "ES256").jwk, use: "enc" };
    const rsa = { kty: "RSA", kid: "rsa", n: "AQAB", e: "AQAB" };
    const set = await parse(ofJwks(nameless, encryption, rsa, edwards.jwk));
    assert.deepEqual([...set.keys()], ["ed-1"]);
  });

  const smallOrder = { ...edwards.jwk, x: Buffer.alloc(32).toString("base64url") };
  const offCurve = { ...nist.jwk, y: Buffer.alloc(32, 1).toString("base64url") };
  const bad: Readonly<Record<string, readonly [reason: string, bytes: Uint8Array]>> = {
    "with one kid twice": ["MALFORMED", ofJwks(edwards.jwk, stranger.jwk)],
    "with a private key": ["MALFORMED", ofJwks({ ...edwards.jwk, d: "AAAA" })],
    "with a shared secret": ["MALFORMED", ofJwks(edwards.jwk, { kty: "oct", k: "AAAA" })],
    "with a point of small order": ["KEY_NOT_ACCEPTED", ofJwks(smallOrder)],
    "with a point off its curve": ["KEY_NOT_ACCEPTED", ofJwks(offCurve)],
    "without a key that verifies": ["MALFORMED", ofJwks({ kty: "RSA", kid: "r" })],
    "of 65 keys": ["TOO_LARGE", ofJwks(...Array.from({ length: 65 }, () => nist.jwk))],
    "of more than 64 KiB": ["TOO_LARGE", Buffer.alloc(64 * 1024 + 1, " ")],
    "that is a list": ["MALFORMED", Buffer.from("[]")],
    "that names its keys twice": ["MALFORMED", Buffer.from('{"keys":[],"keys":[]}')],
  };
  for (const [what, [code, bytes]] of Object.entries(bad)) {
    test(`${what} is refused: ${code}`, () => assert.rejects(parse(bytes), { code }));
  }
});

describe("JSON with each member once", () => {
  const parse = (text: string): unknown => parseUniqueJson(Buffer.from(text));

  test("reads what JSON.parse reads, of any value", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        assert.deepEqual(parse(text), JSON.parse(text));
      }),
    );
  });

  for (const text of [
    '{"a":1,"a":1}',
    '{"b":{"a":1,"c":[{"x":1}],"a":2}}',
    '[{"a":"{","\\u0061":1}]',
    '{"a":[],"b":{},"a":0}',
  ]) {
    test(`refuses ${text}`, () => assert.throws(() => parse(text), { code: "MALFORMED" }));
  }

  test("takes one name in two objects", () => {
    assert.deepEqual(parse('{"a":{"a":[{"a":1},{"a":2}]}}'), { a: { a: [{ a: 1 }, { a: 2 }] } });
  });
});
