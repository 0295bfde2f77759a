/**
 * Signatures that cost a hash. Whoever knows the public key can make them: in a simulation nobody forges, and
 * what a signature is over still decides whether it verifies. Statements have real ones, which jose verifies.
 */
import { concatBytes, equalBytes, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { RememberedSignatures } from "../../src/credential/remembered-signatures.ts";
import { openCallToken } from "../../src/credential/call-token.ts";
import type { Signer, Verifier } from "../../src/crypto/ports.ts";

function mark(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  return sha256(concatBytes(publicKey, message));
}

export function fastSigner({ publicKey }: Pick<Signer, "publicKey">): Signer {
  return {
    publicKey,
    sign: (message) => {
      const half = mark(publicKey, message);
      return concatBytes(half, half);
    },
  };
}

export const fastVerifier: Verifier = {
  acceptsKey: () => true,
  verify: (publicKey, message, signature) =>
    signature.length === 64 && equalBytes(mark(publicKey, message), signature.subarray(0, 32)),
};

/** In the place of what verifies a call token with jose: the same order of checks around it. */
export function fastTokens(keyOf: (kid: string) => Uint8Array | undefined): RememberedSignatures {
  const once = async (text: string): Promise<void> => {
    const { jws } = openCallToken(text);
    const key = keyOf(jws.kid);
    if (key !== undefined && fastVerifier.verify(key, jws.signingInput, jws.signature)) return;
    throw new CausewayError("TOKEN_SIGNATURE_INVALID", "the signature does not verify");
  };
  return { once } as unknown as RememberedSignatures;
}

/**
 * From here on this process verifies no signature of a statement twice: every schedule is audited from the same
 * founding batches on, which jose has verified by then.
 */
export function rememberVerified(): void {
  const { subtle } = globalThis.crypto;
  const verify = subtle.verify.bind(subtle);
  const known = new WeakMap<
    object,
    Map<string, { message: Uint8Array; result: Promise<boolean> }>
  >();
  const remembered: typeof subtle.verify = (algorithm, key, signature, data) => {
    const [mac, message] = [bytesOf(signature), bytesOf(data)];
    const ofKey =
      known.get(key) ?? new Map<string, { message: Uint8Array; result: Promise<boolean> }>();
    known.set(key, ofKey);
    const name = toHex(mac);
    const there = ofKey.get(name);
    if (there !== undefined && equalBytes(there.message, message)) return there.result;
    const result = verify(algorithm, key, signature, data);
    ofKey.set(name, { message: message.slice(), result });
    return result;
  };
  Object.defineProperty(subtle, "verify", { value: remembered, configurable: true });
}

function bytesOf(source: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
}
