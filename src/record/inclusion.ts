import { CausewayError } from "../base/errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyInclusion } from "../merkle/verify.ts";

/**
 * Whether `path` leads from the leaf that holds `data`, at `index` of a small tree, to `root`. `false` is
 * also the answer to an index or a number of hashes that a tree of `count` leaves cannot have.
 */
export function isIncluded(options: {
  readonly data: Uint8Array;
  readonly index: number;
  readonly count: number;
  readonly path: readonly Uint8Array[];
  readonly root: Uint8Array;
}): boolean {
  const { data, index, count, path, root } = options;
  if (!isSize(index) || !isSize(count)) return false;
  try {
    return verifyInclusion({ leafHash: leafHash(data), index, size: count, root, proof: path });
  } catch (error) {
    if (error instanceof CausewayError && error.code === "PROOF_INVALID") return false;
    throw error;
  }
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
