import type { Claims } from "../credential/statements.ts";
import type { FactAddress, RegistryState, Standing } from "./state.ts";

/** What a governance record is judged on: the registry up to it, and what its header says. */
export interface Ground {
  readonly state: RegistryState;
  /** Of the batch. */
  readonly index: bigint;
  readonly seenSize: bigint;
  /** Unix milliseconds of the seal. */
  readonly sealedAtMs: number;
  /** The same as whole Unix seconds, by which validity is judged. */
  readonly atS: number;
}

/** Whether a fact stands below the header's seen size. In batch 0 an earlier position counts as seen. */
export function isSeen({ since }: Standing, { index, seenSize }: Ground): boolean {
  return index === 0n || since < seenSize;
}

/**
 * Whether a fact gives authority to a record: seen, not taken by anything that is included, and valid
 * at the time of the seal.
 */
export function gives(standing: Standing, ground: Ground): boolean {
  return isSeen(standing, ground) && standing.until === undefined && isValid(standing, ground.atS);
}

/** Whether `nbf` ≤ `atS` < `exp`; an absent bound does not bind. */
export function isValid(
  { nbf, exp }: { readonly nbf?: number; readonly exp?: number },
  atS: number,
): boolean {
  return (nbf === undefined || nbf <= atS) && (exp === undefined || atS < exp);
}

/** The fact of one id that gives; at most one of them does. */
export function inForce<F extends { readonly standing: Standing }>(
  facts: readonly F[] | undefined,
  ground: Ground,
): F | undefined {
  return facts?.findLast(({ standing }) => gives(standing, ground));
}

/** The standing of a fact that is stated at `address`. */
export function standingFrom(
  address: FactAddress,
  { nbf, exp }: Pick<Claims, "nbf" | "exp">,
): Standing {
  return {
    address,
    since: address.index,
    ...(nbf === undefined ? {} : { nbf }),
    ...(exp === undefined ? {} : { exp }),
  };
}

/** The same fact, taken away by the record at `until`. */
export function taken<F extends { readonly standing: Standing }>(fact: F, until: FactAddress): F {
  return { ...fact, standing: { ...fact.standing, until } };
}
