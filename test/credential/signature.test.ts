import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { ed25519 } from "@noble/curves/ed25519.js";
import { concatBytes, toBase64url, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createCompact, openCompact } from "../../src/credential/compact.ts";
import { RememberedSignatures } from "../../src/credential/remembered-signatures.ts";
import { verifySignature } from "../../src/credential/signature.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { verifySlowly } from "../support/ed25519-reference.ts";
import { signerOf } from "./fixtures.ts";

const { Point } = ed25519;
const order = Point.Fn.ORDER;

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function bytes32(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
}

// A point of order 8: any point times the group's prime order, if it has full torsion.
const torsion = ((): InstanceType<typeof Point> => {
  for (let y = 2n; ; y++) {
    try {
      const point = Point.fromBytes(bytes32(y));
      const small = point.multiplyUnsafe(order - 1n).add(point);
      if (!small.multiplyUnsafe(4n).equals(Point.ZERO)) return small;
    } catch {
      continue;
    }
  }
})();
const times = (count: number): InstanceType<typeof Point> =>
  Array.from({ length: count }).reduce<InstanceType<typeof Point>>(
    (sum) => sum.add(torsion),
    Point.ZERO,
  );

/** Signs with torsion added to the public key and to R, and with `more` times the order added to S. */
function craft(options: { readonly key: number; readonly r: number; readonly more: bigint }): {
  readonly text: string;
  readonly publicKey: Uint8Array;
} {
  const secret = 0x1234567890abcdefn;
  const publicKey = Point.BASE.multiply(secret).add(times(options.key)).toBytes();
  const text = createCompact("causeway-call+jwt", utf8("{}"), {
    publicKey,
    sign: (message) => {
      const nonce = 0xfedcba987654321n;
      const r = Point.BASE.multiply(nonce).add(times(options.r)).toBytes();
      const hash = createHash("sha512")
        .update(concatBytes(r, publicKey, message))
        .digest();
      const s = Point.Fn.create(nonce + Point.Fn.create(littleEndian(hash)) * secret);
      return concatBytes(r, bytes32(s + options.more * order));
    },
  });
  return { text, publicKey };
}

async function acceptedByJose(
  text: string,
  publicKey: Uint8Array,
  verifier = createNodeVerifier(),
): Promise<boolean> {
  try {
    await verifySignature(openCompact(text, { bytesMax: 4096 }), publicKey, verifier);
    return true;
  } catch (error) {
    assert.ok(error instanceof CausewayError, String(error));
    assert.match(error.code, /^(?:KEY_NOT_ACCEPTED|TOKEN_SIGNATURE_INVALID)$/);
    return false;
  }
}

describe("jose behind the key check keeps the one Ed25519 rule", () => {
  for (let key = 0; key < 8; key++) {
    for (let r = 0; r < 8; r++) {
      for (const more of [0n, 1n, 7n]) {
        test(`key torsion ${key}, R torsion ${r}, S + ${more} L`, async () => {
          const { text, publicKey } = craft({ key, r, more });
          const { signingInput, signature } = openCompact(text, { bytesMax: 4096 });
          const expected = verifySlowly(publicKey, signingInput, signature);
          assert.equal(expected, key === 0 && r === 0 && more === 0n);
          assert.equal(await acceptedByJose(text, publicKey), expected);
          assert.equal(await acceptedByJose(text, publicKey, createNobleVerifier()), expected);
        });
      }
    }
  }

  const smallOrder = Array.from({ length: 8 }, (_, i) => times(i).toBytes());
  const p = 2n ** 255n - 19n;
  const nonCanonical = [p, p + 1n, p | (1n << 255n), (p + 1n) | (1n << 255n)].map(bytes32);
  for (const [i, publicKey] of [...smallOrder, ...nonCanonical].entries()) {
    test(`no signature verifies under odd key ${i}`, async () => {
      for (const r of smallOrder) {
        const signature = concatBytes(r, new Uint8Array(32));
        const text = createCompact("causeway-call+jwt", utf8("{}"), {
          publicKey,
          sign: () => signature,
        });
        assert.equal(await acceptedByJose(text, publicKey), false);
      }
    });
  }
});

test("a changed signing input does not verify under a key that was imported before", async () => {
  const signer = signerOf("token");
  const verifier = createNodeVerifier();
  const text = createCompact("causeway-call+jwt", utf8('{"n":1}'), signer);
  await verifySignature(openCompact(text, { bytesMax: 4096 }), signer.publicKey, verifier);
  const [header, , signature] = text.split(".") as [string, string, string];
  const altered = `${header}.${toBase64url(utf8('{"n":2}'))}.${signature}`;
  assert.equal(await acceptedByJose(altered, signer.publicKey, verifier), false);
});

describe("remembered signatures", () => {
  test("a token is verified once, also when many ask at the same time", async () => {
    const remembered = new RememberedSignatures();
    let runs = 0;
    const verify = async (): Promise<void> => {
      runs += 1;
      await Promise.resolve();
    };
    await Promise.all(Array.from({ length: 64 }, () => remembered.once("token", verify)));
    await remembered.once("token", verify);
    assert.equal(runs, 1);
    await remembered.once("another", verify);
    assert.equal(runs, 2);
  });

  test("a failure reaches everyone who waits and is not remembered", async () => {
    const remembered = new RememberedSignatures();
    const fail = async (): Promise<void> => {
      await Promise.resolve();
      throw new CausewayError("TOKEN_SIGNATURE_INVALID", "no");
    };
    const results = await Promise.allSettled([1, 2].map(() => remembered.once("token", fail)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ["rejected", "rejected"],
    );
    let ran = false;
    await remembered.once("token", async () => {
      ran = true;
      await Promise.resolve();
    });
    assert.equal(ran, true);
  });
});
