/** Attempts that both sides have closed: what no later record may name again. */
import { concatBytes, u32be, utf8 } from "../base/bytes.ts";
import { DigestTable } from "../base/digest-table.ts";
import { sha256 } from "../base/sha256.ts";

/** An attempt by what its issuer calls it. */
export interface IssuedName {
  readonly issuer: string;
  readonly xid: Uint8Array;
  readonly attempt: number;
}

/**
 * Nothing but their names is kept, in flat memory: a ledger has as many as there ever were calls. Which of two
 * tokens or names came first is said of digests of full length, so that nobody's can be made to look used.
 */
export class SettledAttempts {
  readonly #issuers: string[] = [];
  readonly #numbers = new Map<string, number>();
  /** Who issued the token. */
  readonly #byToken = new DigestTable();
  readonly #byName = new DigestTable();

  /** `names` are all that its sides have called it. */
  add(
    { tokenDigest, index }: { readonly tokenDigest: Uint8Array; readonly index: number },
    issuer: string,
    names: readonly IssuedName[],
  ): void {
    const number = this.#numberOf(issuer);
    this.#byToken.set(tokenDigest, index, number);
    for (const name of names) this.#byName.set(digestOf(name), 0, number);
  }

  /** Who issued the token of a settled attempt; `undefined` where none is settled. */
  issuerOf(tokenDigest: Uint8Array, index: number): string | undefined {
    const number = this.#byToken.get(tokenDigest, index);
    return number === undefined ? undefined : this.#issuers[number];
  }

  hasName(name: IssuedName): boolean {
    return this.#byName.get(digestOf(name), 0) !== undefined;
  }

  #numberOf(issuer: string): number {
    const known = this.#numbers.get(issuer);
    if (known !== undefined) return known;
    this.#numbers.set(issuer, this.#issuers.length);
    return this.#issuers.push(issuer) - 1;
  }
}

/** An xid has 16 bytes, so that no two names are written alike. */
function digestOf({ issuer, xid, attempt }: IssuedName): Uint8Array {
  return sha256(concatBytes(xid, u32be(attempt), utf8(issuer)));
}
