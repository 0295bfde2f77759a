/** Whether enough cities have cosigned a checkpoint, and since when. */
import { compareText, toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { assertEmptyRoot } from "./checkpoint.ts";
import { cosignatureType, ed25519Type, type VerifierKey } from "./verifier-key.ts";
import { openCheckpoint, type VerifiedSignature, type VerifyEd25519 } from "./verify.ts";

/** A key that speaks for a city. A city may have several; it counts once. */
export interface Cosigner {
  readonly city: string;
  readonly key: VerifierKey;
}

export interface CosignedCity {
  readonly city: string;
  /** Unix milliseconds of its cosignature, the earliest where the note carries several. */
  readonly timeMs: number;
}

/** Cities of which `quorum` must have cosigned. */
export interface QuorumRule {
  readonly cities: readonly string[];
  /** At least 1. */
  readonly quorum: number;
}

/** A checkpoint that a quorum has cosigned. */
export interface QuorumCheckpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  /** Every city that counts, ascending by id. */
  readonly cosigned: readonly CosignedCity[];
  /** Unix milliseconds: the lower median of the cities' times. */
  readonly timeMs: number;
}

/**
 * The checkpoint of `note`, if the log has signed it and as many cities have cosigned it as each rule
 * asks for: where the cities or the quorum change, the old and the new one.
 * A cosignature counts when its city is in some rule, its timestamp is above 0 and, where `nowMs` is
 * given, at most `skewMs` ahead of it; one that does not count is as if absent, so that one city's clock
 * stops nobody.
 * Throws QUORUM_NOT_MET with the number of cities that count for the first rule that is not met, what
 * `openCheckpoint` throws, and CHECKPOINT_INVALID for size 0 with another root than the empty tree's.
 */
export function evaluateQuorum(options: {
  readonly note: Uint8Array;
  readonly logKey: VerifierKey;
  readonly cosigners: readonly Cosigner[];
  /** Every one is to be met; at least one. */
  readonly rules: readonly QuorumRule[];
  /** Own clock; absent when a stored note is judged. */
  readonly nowMs?: number;
  readonly skewMs: number;
  readonly verify: VerifyEd25519;
}): QuorumCheckpoint {
  const { note, logKey, cosigners, rules, nowMs, skewMs, verify } = options;
  assertTrust(logKey, cosigners, rules);
  const cosignerKeys = cosigners.map(({ key }) => key);
  const { checkpoint, signatures } = openCheckpoint({ note, logKey, cosignerKeys, verify });
  assertEmptyRoot(checkpoint);
  const latestMs = nowMs === undefined ? Number.MAX_SAFE_INTEGER : nowMs + skewMs;
  const counted = cosigners.filter(({ city }) => rules.some(({ cities }) => cities.includes(city)));
  const cosigned = countCities(counted, signatures, latestMs);
  for (const rule of rules) assertMet(rule, cosigned);
  const { origin, size, root } = checkpoint;
  return { origin, size, root, cosigned, timeMs: lowerMedian(cosigned.map((city) => city.timeMs)) };
}

function assertMet({ cities, quorum }: QuorumRule, cosigned: readonly CosignedCity[]): void {
  const count = cosigned.filter(({ city }) => cities.includes(city)).length;
  if (count >= quorum) return;
  throw new CausewayError("QUORUM_NOT_MET", `${count} of ${quorum} cities cosigned`, {
    fields: { cosigned: String(count), quorum: String(quorum) },
  });
}

function countCities(
  cosigners: readonly Cosigner[],
  signatures: readonly VerifiedSignature[],
  latestMs: number,
): readonly CosignedCity[] {
  const times = new Map<string, number>();
  for (const { key, timestamp = 0n } of signatures) {
    const city = cosigners.find((cosigner) => cosigner.key === key)?.city;
    const timeMs = Number(timestamp * 1000n);
    if (city === undefined || timestamp === 0n || timeMs > latestMs) continue;
    times.set(city, Math.min(timeMs, times.get(city) ?? timeMs));
  }
  return Array.from(times, ([city, timeMs]) => ({ city, timeMs })).sort((a, b) =>
    compareText(a.city, b.city),
  );
}

/** The middle time, of two in the middle the earlier. */
function lowerMedian(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[(times.length - 1) >> 1] as number;
}

function assertTrust(
  logKey: VerifierKey,
  cosigners: readonly Cosigner[],
  rules: readonly QuorumRule[],
): void {
  if (rules.length === 0 || rules.some(({ quorum }) => !Number.isInteger(quorum) || quorum < 1)) {
    throw new RangeError("a quorum is at least one city");
  }
  if (logKey.type !== ed25519Type || cosigners.some(({ key }) => key.type !== cosignatureType)) {
    throw new TypeError("a log key has type 0x01, a cosigner's key type 0x04");
  }
  const keys = new Set(
    [logKey, ...cosigners.map(({ key }) => key)].map((key) => toHex(key.publicKey)),
  );
  if (keys.size !== cosigners.length + 1) throw new RangeError("one key has two uses");
}
