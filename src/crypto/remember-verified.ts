/** Signatures that verified before are not verified again. */
import { concatBytes, mapKey } from "../base/bytes.ts";
import { Lru } from "../base/lru.ts";
import { sha256 } from "../base/sha256.ts";
import { ed25519KeyBytes, ed25519SignatureBytes } from "./ed25519-key.ts";
import type { Verifier } from "./ports.ts";

/**
 * A verifier that remembers what `verifier` found right: a leaf comes in the proof of an answer, is held by
 * a witness, and is folded. A signature is a matter of key, message and signature alone, so that none of
 * them may differ; whether a key is in force is looked up elsewhere, at each use.
 *
 * @param entriesMax how many signatures are remembered, those used last.
 */
export function rememberVerified(verifier: Verifier, entriesMax: number): Verifier {
  const verified = new Lru<string, true>(entriesMax);
  return {
    acceptsKey: (publicKey) => verifier.acceptsKey(publicKey),
    verify: (publicKey, message, signature) => {
      if (publicKey.length !== ed25519KeyBytes || signature.length !== ed25519SignatureBytes) {
        return false;
      }
      const name = mapKey(sha256(concatBytes(publicKey, signature, message)));
      if (verified.get(name) === true) return true;
      if (!verifier.verify(publicKey, message, signature)) return false;
      verified.set(name, true);
      return true;
    },
  };
}
