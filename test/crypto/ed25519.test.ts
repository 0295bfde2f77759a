import assert from "node:assert/strict";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseHex, toBase64url } from "../../src/base/bytes.ts";
import { acceptedKeysMax } from "../../src/base/limits.ts";
import { AcceptedKeys } from "../../src/crypto/ed25519-key.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { createEd25519KeyPair, createNodeVerifier, importSigner } from "../../src/crypto/node.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { verifySlowly } from "../support/ed25519-reference.ts";

interface EdgeCase {
  readonly name: string;
  readonly key: string;
  readonly message: string;
  readonly signature: string;
  readonly keyAccepted: boolean;
  readonly accepted: boolean;
}

const { cases } = JSON.parse(readFileSync("test/vectors/ed25519.json", "utf8")) as {
  readonly cases: readonly EdgeCase[];
};
const hex = (text: string): Uint8Array => parseHex(text) as Uint8Array;
const ports = { noble: createNobleVerifier(), node: createNodeVerifier() };
const seed32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

for (const [port, verifier] of Object.entries(ports)) {
  describe(`the ${port} port decides every edge case by the one rule`, () => {
    assert.equal(cases.length, 136);
    for (const [index, edge] of cases.entries()) {
      test(`${index}: ${edge.name}`, () => {
        assert.equal(verifier.acceptsKey(hex(edge.key)), edge.keyAccepted);
        const given = [hex(edge.key), hex(edge.message), hex(edge.signature)] as const;
        assert.equal(verifier.verify(...given), edge.accepted);
      });
    }
  });

  test(`the ${port} port gives false for keys and signatures of another length`, () => {
    const signer = importSigner(new Uint8Array(32).fill(7));
    const { publicKey } = signer;
    const message = Uint8Array.of(1, 2, 3);
    const signature = signer.sign(message);
    assert.equal(verifier.verify(publicKey, message, signature), true);
    assert.equal(verifier.verify(publicKey.subarray(1), message, signature), false);
    assert.equal(verifier.verify(publicKey, message, signature.subarray(1)), false);
    const longer = Uint8Array.of(...signature, 0);
    assert.equal(verifier.verify(publicKey, message, longer), false);
    assert.equal(verifier.acceptsKey(new Uint8Array(0)), false);
    assert.equal(verifier.acceptsKey(Uint8Array.of(...publicKey, 0)), false);
  });
}

test("both ports and the RFC's formulas agree on signatures with any byte changed", () => {
  const changes = fc.array(
    fc.record({
      part: fc.constantFrom("key", "message", "signature"),
      at: fc.nat(),
      by: fc.integer({ min: 1, max: 255 }),
    }),
    { maxLength: 2 },
  );
  fc.assert(
    fc.property(
      seed32,
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      changes,
      (seed, message, list) => {
        const signer = importSigner(seed);
        const parts = {
          key: Uint8Array.from(signer.publicKey),
          message: Uint8Array.from(message),
          signature: signer.sign(message),
        };
        for (const { part, at, by } of list) {
          const bytes = parts[part as keyof typeof parts];
          const index = at % bytes.length;
          bytes[index] = (bytes[index] as number) ^ by;
        }
        const given = [parts.key, parts.message, parts.signature] as const;
        const expected = verifySlowly(...given);
        assert.equal(ports.node.verify(...given), expected, "node");
        assert.equal(ports.noble.verify(...given), expected, "noble");
        if (list.length === 0) assert.equal(expected, true);
      },
    ),
    { numRuns: 60 },
  );
});

test("both ports agree on any 32 bytes as a key", () => {
  fc.assert(
    fc.property(seed32, (key) => {
      assert.equal(ports.node.acceptsKey(key), ports.noble.acceptsKey(key));
    }),
    { numRuns: 100 },
  );
});

test("a signature of the signer is the one of RFC 8032, deterministic and from the key of its seed", () => {
  // RFC 8032 section 7.1, test 2.
  const seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const signer = importSigner(seed);
  const publicKey = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const signature = hex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
  assert.deepEqual(signer.publicKey, publicKey);
  assert.deepEqual(signer.sign(Uint8Array.of(0x72)), signature);
  assert.deepEqual(createEd25519KeyPair(seed), { seed, publicKey });
});

test("a seed of another length is refused as misuse", () => {
  assert.throws(() => importSigner(new Uint8Array(31)), RangeError);
  assert.throws(() => createEd25519KeyPair(new Uint8Array(33)), RangeError);
});

test("a verifier takes what another implementation signed", () => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = Uint8Array.from(publicKey.export({ format: "der", type: "spki" }).subarray(-32));
  const message = Uint8Array.of(9);
  const signature = Uint8Array.from(sign(null, message, privateKey));
  assert.equal(verify(null, message, publicKey, signature), true);
  for (const verifier of Object.values(ports)) {
    assert.equal(verifier.verify(raw, message, signature), true);
  }
});

test("a thumbprint is the one of RFC 8037 appendix A.3", () => {
  const key = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  assert.equal(toBase64url(key), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  assert.equal(thumbprint(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
  assert.throws(() => thumbprint(key.subarray(1)), RangeError);
});

test("a key is checked once, refused keys are not kept, and the least recently used makes room", () => {
  const checked: number[] = [];
  const keys = new AcceptedKeys<number>((key) => {
    const number = new DataView(key.buffer).getUint32(0);
    checked.push(number);
    return number === 0 ? undefined : number;
  });
  const key = (number: number): Uint8Array => {
    const bytes = new Uint8Array(32);
    new DataView(bytes.buffer).setUint32(0, number);
    return bytes;
  };
  for (let i = 1; i <= acceptedKeysMax; i++) assert.equal(keys.get(key(i)), i);
  assert.equal(keys.get(key(0)), undefined);
  assert.equal(keys.get(key(0)), undefined);
  assert.equal(keys.get(key(1)), 1);
  assert.equal(checked.length, acceptedKeysMax + 2);
  keys.get(key(acceptedKeysMax + 1));
  checked.length = 0;
  keys.get(key(1));
  assert.deepEqual(checked, []);
  keys.get(key(2));
  assert.deepEqual(checked, [2]);
});
