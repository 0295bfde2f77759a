/**
 * Single use without a disk: an attempt is (token digest, index), and those of this boot are remembered
 * until their token has expired. A token of another boot is refused by its nonce.
 */
import { toHex } from "../base/bytes.ts";
import { attemptsRememberedMax } from "../base/limits.ts";

/** Name of an attempt: hex of the token digest, a dot, the index of the statement. */
export function attemptKey(tokenDigest: Uint8Array, index: number): string {
  return `${toHex(tokenDigest)}.${index}`;
}

export class UsedAttempts {
  /** In the order of insertion, so that the oldest come first. */
  readonly #forgetAtMs = new Map<string, number>();
  readonly #max: number;

  constructor(max: number = attemptsRememberedMax) {
    this.#max = max;
  }

  /**
   * Takes an attempt for its only use. `lifeMs` is how long its token can still be accepted, skew
   * included; `nowMs` is monotonic.
   */
  use(key: string, nowMs: number, lifeMs: number): "taken" | "used" | "full" {
    if (this.#forgetAtMs.has(key)) return "used";
    this.#forget(nowMs);
    if (this.#forgetAtMs.size >= this.#max) return "full";
    this.#forgetAtMs.set(key, nowMs + lifeMs);
    return "taken";
  }

  // Lives differ by at most the token life, so stopping at the first that is kept leaves few behind.
  #forget(nowMs: number): void {
    for (const [key, forgetAtMs] of this.#forgetAtMs) {
      if (forgetAtMs > nowMs) return;
      this.#forgetAtMs.delete(key);
    }
  }
}
