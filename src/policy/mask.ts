/** Field masks: of an answer passes only what the grant names (DESIGN.md section 5). */
import type { FileRegistry } from "@bufbuild/protobuf";
import { mapKey, toHex } from "../base/bytes.ts";
import { masksRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { sha256 } from "../base/sha256.ts";
import { maskDigest } from "../record/mask-digest.ts";
import { DescriptorSets, methodOf, parseDescriptorSet } from "./descriptors.ts";
import { copyMasked } from "./mask-copy.ts";
import { createPathTree, planMessage } from "./mask-plan.ts";

export interface Mask {
  /**
   * The part of an encoded response that the mask lets through. Applied again it changes nothing, and
   * decoded it holds exactly the allowed fields of what `message` decodes to. Unknown fields, extensions
   * and values of another wire type are dropped at every depth, and so is each `google.protobuf.Any`
   * whose own path the mask does not name.
   *
   * @throws CausewayError MASK_UNAPPLICABLE when the bytes are no message.
   */
  apply(message: Uint8Array): Uint8Array;
}

/**
 * The mask of dotted field names on the responses of one method. A path that leads nowhere in them, or
 * into an Any, lets nothing through. Throws DESCRIPTOR_INVALID when the set does not hold the method.
 */
export function createMask(options: {
  /** A published FileDescriptorSet. */
  readonly descriptors: Uint8Array;
  /** Full method path. */
  readonly method: string;
  readonly paths: readonly string[];
}): Mask {
  const { descriptors, method, paths } = options;
  const key = keyOf(sha256(descriptors), method, paths);
  const known = masks.get(key);
  if (known !== undefined) return known;
  return remember(key, compileMask(parseDescriptorSet(descriptors), method, paths));
}

/** What was compiled, by the exact inputs. */
const masks = new Lru<string, Mask>(masksRememberedMax);

function keyOf(descriptorDigest: Uint8Array, method: string, paths: readonly string[]): string {
  return `${toHex(descriptorDigest)} ${mapKey(maskDigest(paths))} ${method}`;
}

function remember(key: string, mask: Mask): Mask {
  masks.set(key, mask);
  return mask;
}

function compileMask(registry: FileRegistry, method: string, paths: readonly string[]): Mask {
  const plan = planMessage(methodOf(registry, method).output, createPathTree(paths));
  return { apply: (message) => copyMasked(message, plan) };
}

/** Masks under the descriptor sets of the ledger, each compiled once. */
export class Masks {
  readonly #sets: DescriptorSets;

  constructor(sets: DescriptorSets) {
    this.#sets = sets;
  }

  /**
   * As {@link createMask}, under the set of this digest. Throws BLOB_MISSING as well, when the set is not
   * at hand.
   */
  get(options: {
    /** SHA-256 of the published FileDescriptorSet, 32 bytes. */
    readonly descriptor: Uint8Array;
    readonly method: string;
    readonly paths: readonly string[];
  }): Mask {
    const { descriptor, method, paths } = options;
    const key = keyOf(descriptor, method, paths);
    const known = masks.get(key);
    if (known !== undefined) return known;
    return remember(key, compileMask(this.#sets.get(descriptor), method, paths));
  }
}
