import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { compareText, toBase64url, toHex, utf8 } from "../../src/base/bytes.ts";
import { callTokenBytesMax } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  callTokenDigest,
  createCallToken,
  mayBeOf,
  openCallToken,
  verifyCallToken,
  verifyCallTokenSignature,
  type CallTokenClaims,
  type ExpectedCallToken,
} from "../../src/credential/call-token.ts";
import { formatJcs } from "../../src/credential/jcs.ts";
import { RememberedSignatures } from "../../src/credential/remembered-signatures.ts";
import {
  boot,
  claims,
  expected,
  header,
  iat,
  kid,
  signer,
  token,
  verifier,
  verify,
  wire,
} from "./call-token-fixture.ts";
import {
  assertCode,
  assertRejects,
  forgerOf,
  keyOfSigners,
  networkHex,
  signAnything,
  signerOf,
} from "./fixtures.ts";

test("a call token is verified as it was created", async () => {
  const verified = await verify(token);
  assert.deepEqual(verified.claims, claims);
  assert.equal(verified.kid, kid);
  assert.equal(toHex(verified.digest), toHex(sha256(utf8(token))));
  assert.deepEqual(callTokenDigest(token), verified.digest);
  assert.deepEqual(openCallToken(token).claims, claims);
  assert.deepEqual(await verifyCallTokenSignature(token, signer.publicKey, verifier), verified);
});

test("the largest call token is within its limit", () => {
  const level = "a".repeat(32);
  const id = [level, level, level].join("/");
  const far = { iat: Number.MAX_SAFE_INTEGER - 1, exp: Number.MAX_SAFE_INTEGER };
  const largest = createCallToken({ ...claims, iss: id, aud: id, n: 64, ...far }, signer);
  assert.ok(largest.length < callTokenBytesMax);
});

describe("claims are refused: ", () => {
  const changes: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["an unknown one", { sub: "anyone" }],
    ["nbf, which a call token does not have", { nbf: iat + 3600 }],
    ["several audiences", { aud: [claims.aud, "hangzhou/civil-affairs/gw2"] }],
    ["an agency as issuer", { iss: "shenzhen/market-regulation" }],
    ["a jti of 15 bytes", { jti: toBase64url(new Uint8Array(15)) }],
    ["a jti of 17 bytes", { jti: toBase64url(new Uint8Array(17)) }],
    ["a nonce in hexadecimal", { nonce: toHex(boot) }],
    ["a root of 31 bytes", { root: toBase64url(new Uint8Array(31)) }],
    ["no statement", { n: 0 }],
    ["65 statements", { n: 65 }],
    ["exp as text", { exp: String(iat + 60) }],
    ["exp at iat", { exp: iat }],
    ["a network id in capitals", { net: networkHex.toUpperCase() }],
  ];
  for (const [name, change] of changes) {
    test(name, async () => {
      const forged = signAnything(formatJcs(header), formatJcs({ ...wire, ...change }), signer);
      await assertRejects(verify(forged), "TOKEN_CLAIMS_INVALID");
      assertCode(() => openCallToken(forged), "TOKEN_CLAIMS_INVALID");
    });
  }

  for (const claim of Object.keys(wire)) {
    test(`without ${claim}`, async () => {
      const { [claim]: _left, ...rest } = wire;
      const forged = signAnything(formatJcs(header), formatJcs(rest), signer);
      await assertRejects(verify(forged), "TOKEN_CLAIMS_INVALID");
    });
  }

  const sorted = formatJcs(wire);
  const texts: readonly (readonly [string, string])[] = [
    ["a claim twice", sorted.replace('"aud"', `"aud":"hangzhou/civil-affairs/gw2","aud"`)],
    ["white space", sorted.replace(":", ": ")],
    ["claims not sorted", JSON.stringify(wire)],
    ["an exponent", sorted.replace('"n":3', '"n":3e0')],
    ["a fraction", sorted.replace(`"iat":${iat}`, `"iat":${iat}.5`)],
    ["null", sorted.replace('"n":3', '"n":null')],
    ["no JSON", "claims"],
    ["a list", "[]"],
    ["nothing", ""],
  ];
  for (const [name, payload] of texts) {
    test(name, async () => {
      assert.notEqual(payload, sorted);
      const forged = signAnything(formatJcs(header), payload, signer);
      await assertRejects(verify(forged), "TOKEN_CLAIMS_INVALID");
    });
  }

  test("at creation as well", () => {
    assertCode(() => createCallToken({ ...claims, n: 0 }, signer), "TOKEN_CLAIMS_INVALID");
    assertCode(
      () => createCallToken({ ...claims, root: new Uint8Array(31) }, signer),
      "TOKEN_CLAIMS_INVALID",
    );
  });
});

describe("what the token says is checked against what is expected: ", () => {
  const atMs = (seconds: number, ms = 0): { readonly nowMs: number } => ({
    nowMs: (iat + seconds) * 1000 + ms,
  });
  const cases: readonly (readonly [string, Partial<ExpectedCallToken>, ReasonCode | undefined])[] =
    [
      ["another issuer", { issuer: "shenzhen/market-regulation/gw2" }, "TOKEN_ISSUER_WRONG"],
      ["another audience", { audience: "hangzhou/civil-affairs/gw2" }, "TOKEN_AUDIENCE_WRONG"],
      ["another network", { network: "cd".repeat(32) }, "TOKEN_NETWORK_WRONG"],
      ["the last moment of its life", atMs(64, 999), undefined],
      ["the end of its life and the skew", atMs(65), "TOKEN_EXPIRED"],
      ["the first moment within the skew", atMs(-5), undefined],
      ["a millisecond too early", atMs(-5, -1), "TOKEN_NOT_YET_VALID"],
      ["a network that allows less life", { lifeS: 59 }, "TOKEN_LIFE_TOO_LONG"],
      ["a process that has restarted", { boot: new Uint8Array(16).fill(8) }, "NONCE_STALE"],
      [
        "an expired token of another boot",
        { ...atMs(65), boot: new Uint8Array(16) },
        "TOKEN_EXPIRED",
      ],
    ];
  for (const [name, changed, code] of cases) {
    test(name, async () => {
      if (code === undefined) assert.deepEqual((await verify(token, changed)).claims, claims);
      else await assertRejects(verify(token, changed), code);
    });
  }

  test("the issuer's key is looked up under the peer's id, not under the token's", async () => {
    const asked: (readonly [string, string])[] = [];
    const keyOf = (of: string, issuer: string): undefined => {
      asked.push([of, issuer]);
      return undefined;
    };
    const peer = { ...expected, issuer: "shenzhen/health/gw1" };
    await assertRejects(
      verifyCallToken({ token, expected: peer, keyOf, verifier }),
      "TOKEN_KEY_UNKNOWN",
    );
    assert.deepEqual(asked, [[kid, "shenzhen/health/gw1"]]);
  });

  test("a token signed by another key under this kid", async () => {
    const forged = createCallToken(claims, forgerOf(signer));
    await assertRejects(verify(forged), "TOKEN_SIGNATURE_INVALID");
  });

  test("a token of another gateway's key", async () => {
    const forged = createCallToken(claims, signerOf("other"));
    await assertRejects(verify(forged), "TOKEN_KEY_UNKNOWN");
  });

  test("a wrong signature is found before wrong claims", async () => {
    const forged = signAnything(formatJcs(header), "{}", signerOf("forger"));
    await assertRejects(verify(forged), "TOKEN_SIGNATURE_INVALID");
  });
});

describe("a remembered token", () => {
  test("is refused when its key has been retired since", async () => {
    const remembered = new RememberedSignatures();
    const common = { token, expected, verifier, remembered };
    await verifyCallToken({ ...common, keyOf: keyOfSigners("token") });
    await assertRejects(
      verifyCallToken({ ...common, keyOf: () => undefined }),
      "TOKEN_KEY_UNKNOWN",
    );
  });

  test("is refused when it has expired since", async () => {
    const remembered = new RememberedSignatures();
    const keyOf = keyOfSigners("token");
    await verifyCallToken({ token, expected, keyOf, verifier, remembered });
    const later = { ...expected, nowMs: (iat + 65) * 1000 };
    await assertRejects(
      verifyCallToken({ token, expected: later, keyOf, verifier, remembered }),
      "TOKEN_EXPIRED",
    );
  });

  test("does not vouch for a forged one with the same header and payload", async () => {
    const remembered = new RememberedSignatures();
    const keyOf = keyOfSigners("token");
    await verifyCallToken({ token, expected, keyOf, verifier, remembered });
    const forged = createCallToken(claims, forgerOf(signer));
    await assertRejects(
      verifyCallToken({ token: forged, expected, keyOf, verifier, remembered }),
      "TOKEN_SIGNATURE_INVALID",
    );
  });
});

test("any one character changed makes a call token fail", async () => {
  const alphabet = "ABCXYZabcxyz0189-_.=+/ \n\u00e9".split("");
  const change = fc.record({
    at: fc.nat({ max: token.length - 1 }),
    by: fc.constantFrom(...alphabet),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ at, by }) => {
      fc.pre(token[at] !== by);
      const altered = token.slice(0, at) + by + token.slice(at + 1);
      await assert.rejects(verify(altered), { name: "CausewayError" });
    }),
    { numRuns: 300 },
  );
});

test("create, open and verify give the claims back", async () => {
  const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length });
  const any = fc.record({
    jti: bytes(16),
    nonce: bytes(16),
    root: bytes(32),
    n: fc.integer({ min: 1, max: 64 }),
    iat: fc.integer({ min: 0, max: 4_000_000_000 }),
    life: fc.integer({ min: 1, max: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(any, async ({ life, ...some }) => {
      const made: CallTokenClaims = { ...claims, ...some, exp: some.iat + life };
      const text = createCallToken(made, signer);
      const found = await verify(text, { boot: some.nonce, nowMs: some.iat * 1000 });
      assert.deepEqual(found.claims, made);
    }),
  );
});

test("the claims stand in the payload sorted", () => {
  const payload = Buffer.from(token.split(".")[1] as string, "base64url").toString();
  assert.equal(payload, formatJcs(wire));
  const names = Object.keys(JSON.parse(payload) as object);
  assert.deepEqual(names, names.toSorted(compareText));
});

test("a token is looked into for its issuer without being opened: no is certain", () => {
  assert.equal(mayBeOf(token, claims.iss), true);
  assert.equal(mayBeOf(token, claims.aud), false);
  assert.equal(mayBeOf(token, claims.iss.slice(0, -1)), false);
  for (const text of ["", ".", "a.b", "a.!!.c", `x.${toBase64url(Uint8Array.of(0xff))}.y`]) {
    assert.equal(mayBeOf(text, claims.iss), false);
  }
});
