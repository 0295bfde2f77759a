import { signaturesRememberedMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";

/**
 * Remembers which compact JWS verified, so that a token that carries many call statements is verified
 * once. It says that a signature is right, never that its key is in force or that the token is valid now:
 * those are looked up at each use.
 */
export class RememberedSignatures {
  readonly #verified: Lru<string, Promise<void>>;

  /** @param entriesMax how many are remembered; by default `signaturesRememberedMax`. */
  constructor(entriesMax: number = signaturesRememberedMax) {
    this.#verified = new Lru(entriesMax);
  }

  /**
   * Runs `verify` unless `text`, the whole compact JWS, verified before or is being verified now. Its kid
   * stands in the text and is a digest of the key, so the text fixes the key as well. A failure is told to
   * everyone who waits for it, and forgotten.
   */
  async once(text: string, verify: () => Promise<void>): Promise<void> {
    const known = this.#verified.get(text);
    if (known !== undefined) return known;
    const verification = verify();
    this.#verified.set(text, verification);
    try {
      await verification;
    } catch (cause) {
      this.#verified.delete(text);
      throw cause;
    }
  }
}
