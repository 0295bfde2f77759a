/**
 * What the ledger says of an erasure (RECORDS.md, `OpeningsErased`): the root over salted hashes of what was
 * erased. Each salt follows from a secret of the erasure and the id, so that the agency can show later that
 * one exchange is among them, with its salt and path, and nothing of the others.
 */
import { concatBytes, utf8 } from "../../base/bytes.ts";
import { hmacSha256 } from "../../base/sha256.ts";
import { treeRoot } from "../../merkle/batch-tree.ts";
import { leafHash } from "../../merkle/hash.ts";

export const erasureSecretBytes: number = 32;

/** What was erased at one time, as the ledger says it. */
export interface Erasure {
  /** In the order of the erasures, from 1. */
  readonly number: number;
  readonly count: number;
  /** RFC 6962 root over the salted hashes of the ids. */
  readonly root: Uint8Array;
}

const zero = Uint8Array.of(0);
const saltLabel = concatBytes(utf8("causeway/erased-salt/v1"), zero);
const hashLabel = concatBytes(utf8("causeway/erased/v1"), zero);

/** The salt of one id under the secret of an erasure. */
export function erasureSalt(secret: Uint8Array, id: Uint8Array): Uint8Array {
  return hmacSha256(secret, saltLabel, id);
}

/** The salted hash of an id: data of a leaf of the erasure's tree. */
export function erasedHash(salt: Uint8Array, id: Uint8Array): Uint8Array {
  return hmacSha256(salt, hashLabel, id);
}

/** The root over the hashes of ids, in their order. */
export function erasureRoot(secret: Uint8Array, ids: readonly Uint8Array[]): Uint8Array {
  return treeRoot(ids.map((id) => leafHash(erasedHash(erasureSalt(secret, id), id))));
}
