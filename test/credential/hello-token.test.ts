import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toBase64url } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import {
  createHelloToken,
  verifyHelloToken,
  type HelloClaims,
} from "../../src/credential/hello-token.ts";
import { formatJcs } from "../../src/credential/jcs.ts";
import type { ExpectedParties } from "../../src/credential/token-claims.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import {
  assertCode,
  assertRejects,
  forgerOf,
  keyOfSigners,
  networkHex,
  signAnything,
  signerOf,
} from "./fixtures.ts";

const verifier = createNodeVerifier();
const signer = signerOf("token");
const claims: HelloClaims = {
  iss: "shenzhen/market-regulation/gw1",
  aud: "hangzhou/civil-affairs/gw1",
  net: networkHex,
  boot: new Uint8Array(16).fill(7),
  clock: 1_795_219_200_123,
};
const expected: ExpectedParties = {
  issuer: claims.iss,
  audience: claims.aud,
  network: networkHex,
};
const wire: Readonly<Record<string, unknown>> = {
  ...claims,
  boot: toBase64url(claims.boot),
  iat: 1_795_219_200,
};
const header = formatJcs({
  alg: "Ed25519",
  kid: thumbprint(signer.publicKey),
  typ: "causeway-hello+jwt",
});

function verify(token: string, changed: Partial<ExpectedParties> = {}): Promise<HelloClaims> {
  const keyOf = keyOfSigners("token");
  return verifyHelloToken({ token, expected: { ...expected, ...changed }, keyOf, verifier });
}

describe("a hello is verified as it was created", () => {
  test("with nothing to show", async () => {
    assert.deepEqual(await verify(createHelloToken(claims, signer)), claims);
  });

  test("with a checkpoint and a leaf", async () => {
    const full = { ...claims, checkpoint: "cd".repeat(32), leaf: "ef".repeat(32) };
    assert.deepEqual(await verify(createHelloToken(full, signer)), full);
  });

  test("whatever its clock says: a gateway learns from it that its own is off", async () => {
    for (const clock of [0, 999, 4_102_444_800_000]) {
      const odd = { ...claims, clock };
      assert.deepEqual(await verify(createHelloToken(odd, signer)), odd);
    }
  });
});

describe("a hello is refused with", () => {
  const token = createHelloToken(claims, signer);
  const parties: readonly (readonly [string, Partial<ExpectedParties>, ReasonCode])[] = [
    ["another issuer", { issuer: "shenzhen/health/gw1" }, "TOKEN_ISSUER_WRONG"],
    ["another audience", { audience: "hangzhou/health/gw1" }, "TOKEN_AUDIENCE_WRONG"],
    ["another network", { network: "cd".repeat(32) }, "TOKEN_NETWORK_WRONG"],
  ];
  for (const [name, changed, code] of parties) {
    test(name, async () => {
      await assertRejects(verify(token, changed), code);
    });
  }

  const changes: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["an unknown claim", { exp: 1_795_219_260 }],
    ["an iat that is not its clock's", { iat: 1_795_219_201 }],
    ["a boot of 15 bytes", { boot: toBase64url(new Uint8Array(15)) }],
    ["a checkpoint that is no digest", { checkpoint: "" }],
    ["a leaf in capitals", { leaf: "EF".repeat(32) }],
  ];
  for (const [name, change] of changes) {
    test(name, async () => {
      const forged = signAnything(header, formatJcs({ ...wire, ...change }), signer);
      await assertRejects(verify(forged), "TOKEN_CLAIMS_INVALID");
    });
  }

  test("the typ of a call token", async () => {
    const call = header.replace("hello", "call");
    const forged = signAnything(call, formatJcs(wire), signer);
    await assertRejects(verify(forged), "TOKEN_TYP_WRONG");
  });

  test("a key that the ledger does not bind", async () => {
    await assertRejects(verify(createHelloToken(claims, signerOf("x"))), "TOKEN_KEY_UNKNOWN");
  });

  test("a signature of another key", async () => {
    const forged = createHelloToken(claims, forgerOf(signer));
    await assertRejects(verify(forged), "TOKEN_SIGNATURE_INVALID");
  });

  test("a boot of the wrong length at creation", () => {
    const short = { ...claims, boot: new Uint8Array(15) };
    assertCode(() => createHelloToken(short, signer), "TOKEN_CLAIMS_INVALID");
  });
});
