/** Whether a checkpoint is valid under a policy (C2SP tlog-policy). */
import { CausewayError } from "../base/errors.ts";
import { assertEmptyRoot, type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { parseNote } from "./note.ts";
import type { TlogPolicy } from "./tlog-policy.ts";
import { isVerifiable, type VerifierKey } from "./verifier-key.ts";
import { openCheckpoint, type VerifiedSignature, type VerifyEd25519 } from "./verify.ts";

export interface PolicyCheckpoint {
  readonly checkpoint: Checkpoint;
  /** Which log of the policy signed it. */
  readonly logKey: VerifierKey;
  /** Every witness whose cosignature counts, in the order of the policy. */
  readonly witnesses: readonly { readonly name: string; readonly timeMs: number }[];
}

/**
 * The checkpoint of a note that a log of the policy has signed and its quorum has witnessed. A cosignature
 * counts as in `evaluateQuorum`: its time is above 0 and, where `nowMs` is given, at most `skewMs` ahead.
 * Witnesses and logs whose keys are not Ed25519 are never counted: their signatures are ignored.
 * Throws QUORUM_NOT_MET with the number of witnesses that count, CHECKPOINT_INVALID when the origin is no
 * log's of the policy, and what `openCheckpoint` throws.
 */
export function evaluatePolicy(options: {
  readonly policy: TlogPolicy;
  readonly note: Uint8Array;
  readonly nowMs?: number;
  readonly skewMs?: number;
  readonly verify: VerifyEd25519;
}): PolicyCheckpoint {
  const { policy, note, nowMs, skewMs = 0, verify } = options;
  const { origin } = parseCheckpoint(parseNote(note).text);
  const logKeys = policy.logs.map(({ key }) => key).filter(isVerifiable);
  const logKey = signerOf(logKeys, origin, note);
  const cosignerKeys = policy.witnesses.map(({ key }) => key).filter(isVerifiable);
  const { checkpoint, signatures } = openCheckpoint({ note, logKey, cosignerKeys, verify });
  assertEmptyRoot(checkpoint);
  const latestMs = nowMs === undefined ? Number.MAX_SAFE_INTEGER : nowMs + skewMs;
  const witnesses = policy.witnesses.flatMap(({ name, key }) => {
    const times = timesOf(signatures, key).filter((timeMs) => timeMs > 0 && timeMs <= latestMs);
    return times.length === 0 ? [] : [{ name, timeMs: Math.min(...times) }];
  });
  if (isWitnessed(policy, new Set(witnesses.map(({ name }) => name)))) {
    return { checkpoint, logKey, witnesses };
  }
  throw new CausewayError("QUORUM_NOT_MET", `${witnesses.length} witnesses make no quorum`, {
    fields: { cosigned: String(witnesses.length), quorum: policy.quorum ?? "" },
  });
}

/** Whether these witnesses are a quorum of the policy. */
export function isWitnessed(policy: TlogPolicy, witnesses: ReadonlySet<string>): boolean {
  const satisfied = new Set(witnesses);
  // A group stands behind all of its members.
  for (const { name, threshold, members } of policy.groups) {
    if (members.filter((member) => satisfied.has(member)).length >= threshold) satisfied.add(name);
  }
  return policy.quorum === undefined || satisfied.has(policy.quorum);
}

/** Several keys of one origin may stand in a policy: the one whose signature the note carries. */
function signerOf(keys: readonly VerifierKey[], origin: string, note: Uint8Array): VerifierKey {
  const own = keys.filter(({ name }) => name === origin);
  const { signatures } = parseNote(note);
  const signer = own.find((key) =>
    signatures.some(({ name, keyId }) => name === key.name && keyId === key.keyId),
  );
  const chosen = signer ?? own[0];
  if (chosen !== undefined) return chosen;
  throw new CausewayError("CHECKPOINT_INVALID", "no log of the policy has this origin");
}

function timesOf(
  signatures: readonly VerifiedSignature[],
  key: { readonly keyId: number },
): readonly number[] {
  return signatures.flatMap((signature) =>
    signature.key === key ? [Number((signature.timestamp ?? 0n) * 1000n)] : [],
  );
}
