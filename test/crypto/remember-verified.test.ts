import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { createNodeVerifier, importSigner } from "../../src/crypto/node.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import { rememberVerified } from "../../src/crypto/remember-verified.ts";

const signer = importSigner(new Uint8Array(32).fill(1));
const other = importSigner(new Uint8Array(32).fill(2));
const message = utf8("a leaf");
const signature = signer.sign(message);

function counted(entriesMax = 8): { readonly verifier: Verifier; asked: number } {
  const own = createNodeVerifier();
  const counting = {
    asked: 0,
    verifier: rememberVerified(
      {
        acceptsKey: (key) => own.acceptsKey(key),
        verify: (...signed) => {
          counting.asked++;
          return own.verify(...signed);
        },
      },
      entriesMax,
    ),
  };
  return counting;
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
}

describe("a verifier that remembers", () => {
  it("verifies the same signature once", () => {
    const counting = counted();
    for (let i = 0; i < 3; i++) {
      assert.equal(counting.verifier.verify(signer.publicKey, message, signature), true);
    }
    assert.equal(counting.asked, 1);
  });

  it("takes no other key, message or signature for one that it remembers", () => {
    const { verifier } = counted();
    assert.equal(verifier.verify(signer.publicKey, message, signature), true);
    assert.equal(verifier.verify(other.publicKey, message, signature), false);
    for (let bit = 0; bit < 8 * signature.length; bit++) {
      assert.equal(verifier.verify(signer.publicKey, message, flipped(signature, bit)), false);
    }
    for (let bit = 0; bit < 8 * message.length; bit++) {
      assert.equal(verifier.verify(signer.publicKey, flipped(message, bit), signature), false);
    }
  });

  it("takes nothing that is cut elsewhere for the same bytes", () => {
    const { verifier } = counted();
    assert.equal(verifier.verify(signer.publicKey, message, signature), true);
    const all = [...signer.publicKey, ...signature, ...message];
    for (const at of [31, 33]) {
      const key = Uint8Array.from(all.slice(0, at));
      const moved = Uint8Array.from(all.slice(at, at + 64));
      assert.equal(verifier.verify(key, Uint8Array.from(all.slice(at + 64)), moved), false);
    }
  });

  it("remembers nothing that is wrong", () => {
    const counting = counted();
    const wrong = flipped(signature, 0);
    for (let i = 0; i < 2; i++) {
      assert.equal(counting.verifier.verify(signer.publicKey, message, wrong), false);
    }
    assert.equal(counting.asked, 2);
  });

  it("forgets what was used longest ago", () => {
    const counting = counted(2);
    const messages = ["a", "b", "c"].map(utf8);
    for (const text of [...messages, utf8("a")]) {
      assert.equal(counting.verifier.verify(signer.publicKey, text, signer.sign(text)), true);
    }
    assert.equal(counting.asked, 4);
  });
});
