/** The check of an Ed25519 public key that every port makes before it uses one (DESIGN.md section 3). */
import { ed25519 } from "@noble/curves/ed25519.js";
import { acceptedKeysMax } from "../base/limits.ts";
import { equalBytes, toHex } from "../base/bytes.ts";

/** A point of the curve, as the library holds it. */
export type Ed25519Point = InstanceType<typeof ed25519.Point>;

/** Bytes of a raw public key and of a seed. */
export const ed25519KeyBytes: number = 32;
/** Bytes of a signature. */
export const ed25519SignatureBytes: number = 64;

function decodePoint(publicKey: Uint8Array): Ed25519Point | undefined {
  try {
    return ed25519.Point.fromBytes(publicKey);
  } catch {
    // The library says in no other way that the bytes are not a point.
    return undefined;
  }
}

/**
 * The point of a raw public key, or `undefined` when the key is not canonical, not on the curve, of
 * small order, or has a torsion component.
 */
export function acceptPublicKey(publicKey: Uint8Array): Ed25519Point | undefined {
  if (publicKey.length !== ed25519KeyBytes) return undefined;
  const point = decodePoint(publicKey);
  if (point === undefined || !equalBytes(point.toBytes(), publicKey)) return undefined;
  return point.isSmallOrder() || !point.isTorsionFree() ? undefined : point;
}

// L - 1 for the group order L = 2^252 + 27742317777372353535851937790883648493, lowest byte first.
const scalarMax: Uint8Array = ed25519.Point.Fn.toBytes(ed25519.Point.Fn.ORDER - 1n);

/** Whether the second half of a 64-byte signature, read little-endian, is below the group order. */
export function isScalarReduced(signature: Uint8Array): boolean {
  for (let i = ed25519KeyBytes - 1; i >= 0; i--) {
    const difference = (signature[ed25519KeyBytes + i] as number) - (scalarMax[i] as number);
    if (difference !== 0) return difference < 0;
  }
  return true;
}

/**
 * What is kept of the accepted keys, at most `acceptedKeysMax` of them: a check costs more than a
 * verification. The one that was not asked for the longest makes room.
 */
export class AcceptedKeys<Prepared> {
  readonly #prepare: (publicKey: Uint8Array) => Prepared | undefined;
  readonly #keys = new Map<string, Prepared>();

  /** `prepare` checks a key and gives what a verification needs of it, `undefined` to refuse. */
  constructor(prepare: (publicKey: Uint8Array) => Prepared | undefined) {
    this.#prepare = prepare;
  }

  /** What was prepared for the key, or `undefined` when it is not accepted. */
  get(publicKey: Uint8Array): Prepared | undefined {
    if (publicKey.length !== ed25519KeyBytes) return undefined;
    const id = toHex(publicKey);
    const known = this.#keys.get(id);
    const prepared = known ?? this.#prepare(publicKey);
    if (prepared === undefined) return undefined;
    if (known !== undefined) this.#keys.delete(id);
    else if (this.#keys.size >= acceptedKeysMax) this.#keys.delete(this.#oldest());
    this.#keys.set(id, prepared);
    return prepared;
  }

  #oldest(): string {
    const [first] = this.#keys.keys();
    return first as string;
  }
}
