/** One key, one use: a key that is bound to anything cannot be bound again (DESIGN section 2). */
import { concatBytes, equalBytes, parseHex, toHex } from "../base/bytes.ts";
import { assertInvariant } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { parseKey } from "../credential/key-text.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { keyDigest } from "../record/leaf.ts";
import type { KeyBinding, RegistryState } from "./state.ts";

// DER of a SubjectPublicKeyInfo up to the key itself (RFC 8410 section 4).
const ed25519SpkiPrefix = parseHex("302a300506032b6570032100") as Uint8Array;

/** Where the registry keeps a TLS key by its SPKI digest. */
export function tlsKeyId(spkiDigest: Uint8Array): string {
  return `tls:${toHex(spkiDigest)}`;
}

/** Every name under which the key of a binding could be met again. */
function idsOf({ key, use }: KeyBinding): readonly string[] {
  if (use === "tls") return [tlsKeyId(key)];
  if (use === "next-authority") return [`sha256:${toHex(key)}`];
  const spkiDigest = sha256(concatBytes(ed25519SpkiPrefix, key));
  return [thumbprint(key), `sha256:${toHex(sha256(key))}`, tlsKeyId(spkiDigest)];
}

/**
 * The registry with these keys bound, or `undefined` when one of them is bound already. The same key for
 * the same use of the same owner is one binding: a statement that changes a member states its other keys
 * again. A next authority becomes the authority of its owner.
 */
export function bindKeys(
  state: RegistryState,
  bindings: readonly KeyBinding[],
): RegistryState | undefined {
  let { keys } = state;
  for (const binding of bindings) {
    for (const id of idsOf(binding)) {
      const before = keys.get(id);
      if (before !== undefined && !isSame(before, binding)) {
        if (!isNextOf(before, binding)) return undefined;
        keys = keys.with(id, binding);
      }
      if (before === undefined) keys = keys.with(id, binding);
    }
  }
  return { ...state, keys };
}

// Both stand under the same id, so that they are one key.
function isSame(before: KeyBinding, binding: KeyBinding): boolean {
  return before.use === binding.use && before.owner === binding.owner;
}

function isNextOf(before: KeyBinding, binding: KeyBinding): boolean {
  return (
    before.use === "next-authority" && binding.use === "authority" && before.owner === binding.owner
  );
}

/** The raw Ed25519 key with this thumbprint, whatever it is bound to and whether it is in force or not. */
export function keyOfThumbprint(state: RegistryState, kid: string): Uint8Array | undefined {
  const binding = state.keys.get(kid);
  return binding?.use === "tls" || binding?.use === "next-authority" ? undefined : binding?.key;
}

/** The batch key of a gateway that a header names by its digest; a draining key stays known. */
export function batchKeyOf(
  state: RegistryState,
  gateway: string,
  digest: Uint8Array,
): Uint8Array | undefined {
  const facts = state.gateways.get(gateway) ?? [];
  return facts.find(({ batchKey }) => equalBytes(keyDigest(batchKey), digest))?.batchKey;
}

/** The raw key of a statement whose shape was checked. */
export function rawKey(text: string): Uint8Array {
  const key = parseKey(text);
  assertInvariant(key !== undefined, "a statement holds a key that is none");
  return key;
}

/** The digest of a statement whose shape was checked. */
export function rawDigest(hex: string): Uint8Array {
  const digest = parseHex(hex);
  assertInvariant(digest !== undefined, "a statement holds a digest that is none");
  return digest;
}
