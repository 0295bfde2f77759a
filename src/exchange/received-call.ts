/**
 * The provider's reading of a call frame, in the order of RFC 8725: the token, then the statement under
 * its root, then that the values sent are those committed to. Pure but for the token's signature.
 */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { openCallStatement, verifyCallPath } from "../record/call-tree.ts";
import { commit, commitmentBytes, type CommitmentLabel } from "../crypto/commitments.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import type { CallFrame, Opening } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";

/** The statement of a call under a token that says `root` and `n`, or `undefined` when it is not. */
export function readCallStatement(
  frame: CallFrame,
  token: { readonly root: Uint8Array; readonly n: number },
): CallStatement | undefined {
  let statement: CallStatement;
  try {
    statement = openCallStatement(frame.statement);
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
  const bound = verifyCallPath({
    statement: frame.statement,
    index: frame.index,
    count: token.n,
    path: frame.path,
    root: token.root,
  });
  if (!bound || statement.attempt === 0 || statement.open === statement.request.length > 0) {
    return undefined;
  }
  return statement;
}

/** The values that a call committed to and sent. */
export interface SentValues {
  /** 32 bytes: under it both sides commit to the request. */
  readonly requestSalt: Uint8Array;
  readonly case: Uint8Array | undefined;
  readonly official: Uint8Array | undefined;
  readonly idempotency: Uint8Array | undefined;
}

function find(openings: readonly Opening[], label: CommitmentLabel): Opening | undefined {
  const found = openings.filter((opening) => opening.label === label);
  return found.length === 1 ? found[0] : undefined;
}

function opens(
  commitment: Uint8Array,
  opening: Opening | undefined,
  label: CommitmentLabel,
  value: Uint8Array,
): boolean {
  if (opening === undefined || opening.salt.length !== commitmentBytes) return false;
  return equalBytes(commit({ label, salt: opening.salt, value }), commitment);
}

const sentLabels: readonly string[] = ["request", "case", "official", "idempotency"];

/** Whether each opening is of a value that a call can commit to, and given once. */
function areOpenings(openings: readonly Opening[]): boolean {
  const labels = openings.map(({ label }) => label);
  return (
    new Set(labels).size === labels.length && labels.every((label) => sentLabels.includes(label))
  );
}

/** An open request is bound by the commitments that follow: its salt is all that is needed for them. */
function isRequestBound(
  frame: CallFrame,
  statement: CallStatement,
  opening: Opening | undefined,
): boolean {
  if (statement.open) {
    return opening?.salt.length === commitmentBytes && frame.message.length === 0;
  }
  const request = transcriptOf(frame.headers, [frame.message]);
  return opens(statement.request, opening, "request", request);
}

/** Checks every value that was sent against its commitment; a mismatch is a reason, not an error. */
export function checkSentValues(
  frame: CallFrame,
  statement: CallStatement,
): SentValues | ReasonCode {
  if (!areOpenings(frame.openings)) return "COMMITMENT_MISMATCH";
  const requestSalt = find(frame.openings, "request");
  if (!isRequestBound(frame, statement, requestSalt)) return "COMMITMENT_MISMATCH";
  const values: { case?: Uint8Array; official?: Uint8Array; idempotency?: Uint8Array } = {};
  for (const label of ["case", "official", "idempotency"] as const) {
    const opening = find(frame.openings, label);
    const commitment = statement[label];
    if (commitment.length === 0 && opening === undefined) continue;
    if (opening === undefined || !opens(commitment, opening, label, opening.value)) {
      return "COMMITMENT_MISMATCH";
    }
    values[label] = opening.value;
  }
  return {
    requestSalt: requestSalt?.salt as Uint8Array,
    case: values.case,
    official: values.official,
    idempotency: values.idempotency,
  };
}
