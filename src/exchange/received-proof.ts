/** Reading what a provider sent back in-band: the proof of its receipt, refusal or closing. */
import { isReasonCode, type ReasonCode } from "../base/reasons.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Record as LedgerRecord } from "../gen/causeway/record/v1/record_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import type { LeafCache } from "./leaf-cache.ts";
import type { LinkEnd } from "./ports.ts";
import { type CheckedProof, checkProof, checkSeen, type ProofCheck } from "./proof-check.ts";
import type { VerifiedCall } from "./provider-records.ts";
import { isSameCall, type ReceivedOpened } from "./receipt-check.ts";

/** What a proof is checked against. */
export interface ProofContext {
  readonly link: LinkEnd;
  readonly replica: Replica;
  readonly leaves: LeafCache;
}

/**
 * Checks a proof, waiting for what only a newer replica can tell: `nextFinal` resolves after each newer
 * final checkpoint, with `false` when the exchange has ended meanwhile.
 */
export async function awaitProof(
  proof: Proof | undefined,
  context: ProofContext,
  nextFinal: () => Promise<boolean>,
): Promise<ProofCheck | { readonly kind: "interrupted" }> {
  const { link, replica, leaves } = context;
  for (;;) {
    const checked = checkProof(proof, link.peer, replica, leaves);
    if (checked.kind === "invalid") return checked;
    const { header } = checked.proof;
    const waits =
      checked.kind === "key-unknown"
        ? (replica.final()?.size ?? 0n) < header.seenSize
        : checkSeen(header, replica, link) === "ahead";
    if (!waits) return checked;
    if (!(await nextFinal())) return { kind: "interrupted" };
  }
}

/** The Opened that came beside an answer or closing; `undefined` when none did or its proof is not valid. */
export function readOpened(
  proof: Proof | undefined,
  { link, replica, leaves }: ProofContext,
): ReceivedOpened | undefined {
  if (proof === undefined) return undefined;
  const checked = checkProof(proof, link.peer, replica, leaves);
  if (checked.kind !== "valid" || checked.proof.record.body.case !== "opened") return undefined;
  const { begin } = checked.proof.record.body.value;
  return { recordHash: checked.proof.recordHash, call: begin?.call };
}

/** The reason that a refusal or closing of this very call states; `undefined` when it is of another. */
export function refusalReason(
  proof: CheckedProof,
  opened: ReceivedOpened | undefined,
  sent: VerifiedCall,
): ReasonCode | undefined {
  const { body } = proof.record;
  if (body.case === "refusal") {
    const { call, reason } = body.value;
    // A refusal of a call that did not verify there holds a commitment in place of the call.
    if (call !== undefined && !isSameCall(call, sent)) return undefined;
    return isReasonCode(reason) ? reason : undefined;
  }
  if (body.case !== "closed") return undefined;
  const reason = body.value.status?.reason ?? "";
  return opened !== undefined && isSameCall(opened.call, sent) && isReasonCode(reason)
    ? reason
    : undefined;
}

/** The reason code that stands in a refusal or closing; `undefined` for any other record. */
export function recordedReason(record: LedgerRecord | undefined): ReasonCode | undefined {
  const body = record?.body;
  const stated =
    body?.case === "refusal"
      ? body.value.reason
      : body?.case === "closed"
        ? body.value.status?.reason
        : undefined;
  return isReasonCode(stated ?? "") ? (stated as ReasonCode) : undefined;
}
