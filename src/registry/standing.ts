import type { Claims } from "../credential/statements.ts";
import type { FactAddress, RegistryState, Standing } from "./state.ts";

/** The batch that carries a record, as far as a rule may ask for it. */
export interface Carrier {
  readonly gateway: string;
  /** Raw key under which its leaf verified. */
  readonly batchKey: Uint8Array;
  readonly epoch: bigint;
  readonly seq: bigint;
}

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
  /** Absent where a record is judged that no batch carries yet. */
  readonly carrier?: Carrier;
}

interface Fact {
  readonly standing: Standing;
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

/** The version of one id that gives; at most one of them does. */
export function inForce<F extends Fact>(
  facts: readonly F[] | undefined,
  ground: Ground,
): F | undefined {
  return facts?.findLast(({ standing }) => gives(standing, ground));
}

/**
 * What a record may rest on of a member: the newest fact that is seen, and after it those that took its
 * place and are not seen yet. What a new fact gives waits until it is seen, and so long the old one
 * speaks; what it takes away, such as a role, is taken at once: only what all of them give is given.
 * None when the member was taken away, or one of them has ended, or the seen one has not begun.
 */
export function activeFacts<F extends Fact>(
  facts: readonly F[] | undefined,
  ground: Ground,
): readonly F[] {
  const newest = facts?.findLastIndex(({ standing }) => isSeen(standing, ground)) ?? -1;
  if (facts === undefined || newest < 0) return [];
  const active = facts.slice(newest);
  const stand = active.every(({ standing: { exp } }, i) => {
    const isOver = exp !== undefined && ground.atS >= exp;
    return !isOver && !isTaken(active[i] as F, active[i + 1]);
  });
  return stand && isValid((active[0] as F).standing, ground.atS) ? active : [];
}

/** Whether a fact was taken away, and not only replaced by the next one of its id. */
export function isTaken({ standing: { until } }: Fact, next?: Fact): boolean {
  if (until === undefined) return false;
  const place = next?.standing.address;
  return place?.index !== until.index || place.position !== until.position;
}

/**
 * Whether `fact`, of which these are all of its id, or one that took its place has been taken away. What
 * took its place without more has not: the old keys are good until the new ones are seen.
 */
export function isWithdrawn(facts: readonly Fact[], { standing }: Fact): boolean {
  const { index, position } = standing.address;
  const since = facts.findIndex(
    ({ standing: other }) =>
      other.since === standing.since &&
      other.address.index === index &&
      other.address.position === position,
  );
  return facts.some((fact, i) => i >= since && isTaken(fact, facts[i + 1]));
}

/** The newest fact of an id, seen or not, unless it was taken away. */
export function newestStanding<F extends Fact>(facts: readonly F[] | undefined): F | undefined {
  const newest = facts?.at(-1);
  return newest?.standing.until === undefined ? newest : undefined;
}

/** These facts of one id with `next` in the place of the newest. */
export function replacing<F extends Fact>(facts: readonly F[], next: F): readonly F[] {
  const newest = facts.at(-1);
  if (newest === undefined) return [next];
  return [...facts.slice(0, -1), taken(newest, next.standing.address), next];
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
export function taken<F extends Fact>(fact: F, until: FactAddress): F {
  return { ...fact, standing: { ...fact.standing, until } };
}
