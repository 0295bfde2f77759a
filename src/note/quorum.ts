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
 * The checkpoint of `note`, if the log has signed it and at least `quorum` cities have cosigned it.
 * A cosignature counts when its timestamp is above 0 and, where `nowMs` is given, at most `skewMs`
 * ahead of it; one that does not count is as if absent, so that one city's clock stops nobody.
 * Throws QUORUM_NOT_MET with the number of cities that count, what `openCheckpoint` throws, and
 * CHECKPOINT_INVALID for size 0 with another root than the empty tree's.
 */
export function evaluateQuorum(options: {
  readonly note: Uint8Array;
  readonly logKey: VerifierKey;
  readonly cosigners: readonly Cosigner[];
  /** Number of cities, at least 1. */
  readonly quorum: number;
  /** Own clock; absent when a stored note is judged. */
  readonly nowMs?: number;
  readonly skewMs: number;
  readonly verify: VerifyEd25519;
}): QuorumCheckpoint {
  const { note, logKey, cosigners, quorum, nowMs, skewMs, verify } = options;
  assertTrust(logKey, cosigners, quorum);
  const cosignerKeys = cosigners.map(({ key }) => key);
  const { checkpoint, signatures } = openCheckpoint({ note, logKey, cosignerKeys, verify });
  assertEmptyRoot(checkpoint);
  const latestMs = nowMs === undefined ? Number.MAX_SAFE_INTEGER : nowMs + skewMs;
  const cosigned = countCities(cosigners, signatures, latestMs);
  if (cosigned.length < quorum) {
    throw new CausewayError("QUORUM_NOT_MET", `${cosigned.length} of ${quorum} cities cosigned`, {
      fields: { cosigned: String(cosigned.length), quorum: String(quorum) },
    });
  }
  const { origin, size, root } = checkpoint;
  return { origin, size, root, cosigned, timeMs: lowerMedian(cosigned.map((city) => city.timeMs)) };
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

function assertTrust(logKey: VerifierKey, cosigners: readonly Cosigner[], quorum: number): void {
  if (!Number.isInteger(quorum) || quorum < 1)
    throw new RangeError("a quorum is at least one city");
  if (logKey.type !== ed25519Type || cosigners.some(({ key }) => key.type !== cosignatureType)) {
    throw new TypeError("a log key has type 0x01, a cosigner's key type 0x04");
  }
  const keys = new Set(
    [logKey, ...cosigners.map(({ key }) => key)].map((key) => toHex(key.publicKey)),
  );
  if (keys.size !== cosigners.length + 1) throw new RangeError("one key has two uses");
}
