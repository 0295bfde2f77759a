import { isCommitmentLabel, opensCommitment } from "../crypto/commitments.ts";
import type { Call } from "../gen/causeway/record/v1/parts_pb.ts";
import { openCallStatement } from "../record/call-tree.ts";
import type { LedgerRecord } from "../record/record.ts";
import type { EvidenceOpening } from "./package.ts";

/** Whether an opening opens the commitment that a record, or the call that it rests on, has under its label. */
export function opensOne(
  { label, salt, value }: EvidenceOpening,
  record: LedgerRecord,
  call: Call | undefined,
): boolean {
  if (!isCommitmentLabel(label)) return false;
  return commitmentsOf(record, call, label).some((commitment) =>
    opensCommitment(commitment, { label, salt, value }),
  );
}

function commitmentsOf(
  { body }: LedgerRecord,
  call: Call | undefined,
  label: string,
): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  const statement = call === undefined ? undefined : openCallStatement(call.statement);
  if (label === "request" || label === "case" || label === "official" || label === "idempotency") {
    if (statement !== undefined) found.push(statement[label]);
  }
  if (body.case === "receipt") {
    const { progress, status, start } = body.value;
    if (label === "response" && progress !== undefined) found.push(progress.response);
    if (label === "upstream" && progress !== undefined) found.push(progress.upstream);
    if (label === "status" && status !== undefined) found.push(status.status);
    const decision = start.case === "begin" ? start.value.decision : undefined;
    for (const { name, commitment } of decision?.personalAttributes ?? []) {
      if (label === `attribute/${name}`) found.push(commitment);
    }
  }
  if (body.case === "refusal") {
    if (label === "call") found.push(body.value.callCommitment);
    if (label === "method") found.push(body.value.methodCommitment);
  }
  if (body.case === "closed" && label === "status" && body.value.status !== undefined) {
    found.push(body.value.status.status);
  }
  return found.filter((commitment) => commitment.length > 0);
}
