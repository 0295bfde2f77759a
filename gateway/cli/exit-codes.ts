/** The exit codes of `causeway`, and which one each reason leads to. */
import { CausewayError } from "../../src/base/errors.ts";
import { type ReasonCode, reason } from "../../src/base/reasons.ts";

export const exitCodes = {
  ok: 0,
  /** It could not be done, or a statement had no effect. */
  failure: 1,
  /** The command line or a configuration is wrong: nothing was tried. */
  usage: 2,
  /** Somebody may not do it. */
  denied: 3,
  /** Bytes, proofs or signatures are not what they claim to be. */
  verification: 4,
  /** Something that answers later: trying again may help. */
  unavailable: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

const { failure, usage, denied, verification, unavailable } = exitCodes;

/** By the gRPC status of the reason; reasons that mean something else to a person stand below. */
const byStatus: Readonly<Record<number, ExitCode>> = {
  4: unavailable,
  7: denied,
  8: unavailable,
  14: unavailable,
  15: verification,
  16: verification,
};

const exceptions: Partial<Record<ReasonCode, ExitCode>> = {
  CONFIG_INVALID: usage,
  USAGE_INVALID: usage,
  CALLER_UNKNOWN: denied,
  CLOCK_OFF: failure,
  JOURNAL_ROLLED_BACK: verification,
  CHAIN_FORK: verification,
  SEEN_INVALID: verification,
  QUORUM_NOT_MET: verification,
  CHECKPOINT_INVALID: verification,
  NOTE_INVALID: verification,
  BLOB_MISMATCH: verification,
  NETWORK_UNKNOWN: verification,
  QUOTA_EXHAUSTED: denied,
  MESSAGE_TOO_LARGE: failure,
  METADATA_TOO_LARGE: failure,
};

/** The exit code of one reason. */
export function exitCodeOfReason(code: ReasonCode): ExitCode {
  return exceptions[code] ?? byStatus[reason(code).grpcCode] ?? failure;
}

/** The exit code of what a command threw. A statement without effect is a failure, whatever its reason. */
export function exitCodeOf(error: unknown): ExitCode {
  if (!(error instanceof CausewayError) || error.fields["effect"] === "void") return failure;
  return exitCodeOfReason(error.code);
}
