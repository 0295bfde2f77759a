/** Reading what a provider sent back in-band: the proof of its receipt, refusal or closing. */
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { equalBytes } from "../base/bytes.ts";
import { openCallStatement } from "../record/call-tree.ts";
import { isReasonCode, type ReasonCode } from "../base/reasons.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import type { Proof, RefusedFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { type StatusFrame, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import { type Record as LedgerRecord, Side } from "../gen/causeway/record/v1/record_pb.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import type { LeafCache } from "./leaf-cache.ts";
import type { LinkEnd } from "./ports.ts";
import { type CheckedProof, checkProof, checkSeen, type ProofCheck } from "./proof-check.ts";
import type { VerifiedCall } from "./provider-records.ts";
import { isSameCall, type ReceivedOpened } from "./receipt-check.ts";
import type { NextFinal } from "./replica-wait.ts";
import { errorDomain, statusOf } from "./status.ts";

/** What a proof is checked against. */
export interface ProofContext {
  readonly link: LinkEnd;
  readonly replica: Replica;
  readonly leaves: LeafCache;
}

/** Checks a proof, waiting for what only a newer replica can tell. */
export async function awaitProof(
  proof: Proof | undefined,
  context: ProofContext,
  nextFinal: NextFinal,
): Promise<ProofCheck | { readonly kind: "interrupted" }> {
  const { link, replica, leaves } = context;
  for (;;) {
    const checked = checkProof(proof, link.peer, replica, leaves);
    if (checked.kind === "invalid") return checked;
    const { header } = checked.proof;
    const waits =
      checked.kind === "key-unknown"
        ? isAhead(header, replica)
        : checkSeen(header, replica, link) === "ahead";
    if (!waits) return checked;
    if (!(await nextFinal(header.seenSize))) return { kind: "interrupted" };
  }
}

/**
 * Waits until the key that a record was sealed under is known here, or what its gateway had seen is: a member's next
 * key is final for itself first. `false` when nobody waits any more.
 */
async function awaitKey(
  proof: Proof | undefined,
  { link, replica, leaves }: ProofContext,
  nextFinal: NextFinal,
): Promise<boolean> {
  for (;;) {
    const checked = checkProof(proof, link.peer, replica, leaves);
    if (checked.kind !== "key-unknown") return true;
    const { header } = checked.proof;
    if (!isAhead(header, replica)) return true;
    if (!(await nextFinal(header.seenSize))) return false;
  }
}

function isAhead({ seenSize }: Header, replica: Replica): boolean {
  return (replica.final()?.size ?? 0n) < seenSize;
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

/**
 * The reason that a refusal or closing of this very call states; `undefined` when it is of another call,
 * or of another consumer.
 */
export function refusalReason(
  proof: CheckedProof,
  opened: ReceivedOpened | undefined,
  {
    call: sent,
    gateway,
    previous,
  }: {
    readonly call: VerifiedCall;
    readonly gateway: string;
    /** Record hash of the receipt that came before, of this call. */
    readonly previous: Uint8Array | undefined;
  },
): ReasonCode | undefined {
  const { body } = proof.record;
  if (body.case === "refusal") {
    const { call, caller, reason, side } = body.value;
    if (side !== Side.PROVIDER || caller.case !== "peer" || caller.value.gateway !== gateway) {
      return undefined;
    }
    // A refusal of a call that did not verify there holds a commitment in place of the call.
    if (call !== undefined && !isSameCall(call, sent)) return undefined;
    return isReasonCode(reason) ? reason : undefined;
  }
  if (body.case !== "closed" || body.value.side !== Side.PROVIDER) return undefined;
  const { xid, attempt } = openCallStatement(sent.statement);
  if (body.value.attempt !== attempt || !equalBytes(body.value.xid, xid)) return undefined;
  const reason = body.value.status?.reason ?? "";
  const before =
    previous ??
    (opened !== undefined && isSameCall(opened.call, sent) ? opened.recordHash : undefined);
  const follows = before !== undefined && equalBytes(body.value.prevRecord, before);
  return follows && isReasonCode(reason) ? reason : undefined;
}

/** What a provider says in place of an answer. */
export interface ReadRefusal {
  /** Absent of a refusal that went into an aggregate. */
  readonly proof: CheckedProof | undefined;
  readonly reason: ReasonCode;
  readonly upstreamCalled: boolean;
  /** The proofs that are valid: what they show is due on the ledger. */
  readonly shown: readonly (Proof | undefined)[];
}

/** A refusal or closing of this very call, verified where it has a record; `undefined` when it is not one. */
export function readRefusal(
  frame: RefusedFrame,
  context: ProofContext,
  own: Parameters<typeof refusalReason>[2],
): ReadRefusal | undefined {
  const { link, replica, leaves } = context;
  if (frame.proof === undefined) {
    // What is on record there ends with a record.
    const stated = own.previous === undefined ? statedReason(frame.status) : undefined;
    return stated && { proof: undefined, reason: stated, upstreamCalled: false, shown: [] };
  }
  const checked = checkProof(frame.proof, link.peer, replica, leaves);
  if (checked.kind !== "valid") return undefined;
  const { proof } = checked;
  const opened = readOpened(frame.opened, context);
  const reason = refusalReason(proof, opened, own);
  if (reason === undefined) return undefined;
  const { body } = proof.record;
  const told = body.case === "refusal" || body.case === "closed";
  const upstreamCalled = told && body.value.upstreamCalled;
  return { proof, reason, upstreamCalled, shown: [frame.proof, opened && frame.opened] };
}

/** The same, read when its key is known here or cannot be: `undefined` also when nobody waits any more. */
export async function awaitRefusal(
  frame: RefusedFrame,
  context: ProofContext,
  own: Parameters<typeof readRefusal>[2],
  nextFinal: NextFinal,
): Promise<ReadRefusal | undefined> {
  const isRead = await awaitKey(frame.proof, context, nextFinal);
  return isRead ? readRefusal(frame, context, own) : undefined;
}

/** What its caller is told: nothing of a refusal but its reason, for no receipt covers what else it may hold, and its record. */
export function statusOfRefusal({ proof, reason, upstreamCalled }: ReadRefusal): StatusFrame {
  return statusOf(reason, {
    ...(upstreamCalled ? { upstream_called: "true" } : {}),
    ...(proof === undefined ? {} : { record: formatHandle(proof.leafHash, proof.position) }),
  });
}

/**
 * The reason of a refusal that went into an aggregate: that of the `ErrorInfo` in its encoded
 * StatusFrame; `undefined` when there is none of this release.
 */
export function statedReason(status: Uint8Array): ReasonCode | undefined {
  try {
    const { details } = decodeMessage(StatusFrameSchema, status);
    for (const any of decodeMessage(StatusSchema, details).details) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info?.domain === errorDomain && isReasonCode(info.reason)) return info.reason;
    }
  } catch {
    // The decoder says in no other way that the bytes are no status.
  }
  return undefined;
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
