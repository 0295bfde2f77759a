/**
 * What a consumer checks of a receipt before it acknowledges and hands over, against its own replica and
 * the bytes that it got. The first check that fails is the one recorded.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { equalBytes } from "../base/bytes.ts";
import { commit, commitmentBytes } from "../crypto/commitments.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import { MetadataSchema, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame, Opening } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Call } from "../gen/causeway/record/v1/parts_pb.ts";
import type { Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import type { CheckResult } from "./consumer-machine.ts";
import type { VerifiedCall } from "./provider-records.ts";
import { assertMetadata } from "./transport/metadata.ts";
import { trailersFromStatus } from "./transport/trailers.ts";

/** The highest gRPC status code: UNAUTHENTICATED. */
const grpcCodeMax = 16;

/** What the consumer knows of its own attempt. */
export interface SentCall {
  readonly call: VerifiedCall;
  readonly requestCommitment: Uint8Array;
  readonly grantJti: string;
  /** Unix seconds of the token's issue. */
  readonly issuedAt: number;
  readonly maxStalenessMs: number;
  readonly skewMs: number;
}

/** Whether a recorded call is the one that was sent, to the byte. */
export function isSameCall(call: Call | undefined, sent: VerifiedCall): boolean {
  return (
    call !== undefined &&
    call.token === sent.token &&
    call.index === sent.index &&
    equalBytes(call.statement, sent.statement) &&
    call.path.length === sent.path.length &&
    call.path.every((hash, i) => equalBytes(hash, sent.path[i] as Uint8Array))
  );
}

function saltOf(openings: readonly Opening[], label: string): Uint8Array | undefined {
  const found = openings.filter((opening) => opening.label === label);
  return found.length === 1 && found[0]?.salt.length === commitmentBytes
    ? found[0].salt
    : undefined;
}

/**
 * The commitment to the response as it was received, under the salt that came with it; `undefined` when
 * no usable salt came.
 */
export function receivedResponse(answer: AnswerFrame): Uint8Array | undefined {
  const salt = saltOf(answer.openings, "response");
  if (salt === undefined) return undefined;
  return commit({ label: "response", salt, value: transcriptOf(answer.headers, answer.messages) });
}

function statusMatches(answer: AnswerFrame, receipt: Receipt): boolean {
  const salt = saltOf(answer.openings, "status");
  if (salt === undefined || receipt.status === undefined) return false;
  return equalBytes(commit({ label: "status", salt, value: answer.status }), receipt.status.status);
}

/** Opened as it came with the answer: its record hash and the call that it holds. */
export interface ReceivedOpened {
  readonly recordHash: Uint8Array;
  readonly call: Call | undefined;
}

function bindsCall(receipt: Receipt, sent: SentCall, opened: ReceivedOpened | undefined): boolean {
  if (receipt.start.case === "begin") return isSameCall(receipt.start.value.call, sent.call);
  return (
    receipt.start.case === "prevRecord" &&
    opened !== undefined &&
    equalBytes(receipt.start.value.hash, opened.recordHash) &&
    isSameCall(opened.call, sent.call)
  );
}

function bytesMatch(
  answer: AnswerFrame,
  receipt: Receipt,
  sent: SentCall,
  opened: ReceivedOpened | undefined,
): boolean {
  const { progress } = receipt;
  const response = receivedResponse(answer);
  if (progress === undefined || response === undefined || !receipt.final) return false;
  return (
    bindsCall(receipt, sent, opened) &&
    equalBytes(progress.request, sent.requestCommitment) &&
    progress.requestFrames === 2n &&
    equalBytes(progress.response, response) &&
    progress.framesEnd === BigInt(1 + answer.messages.length) &&
    statusMatches(answer, receipt) &&
    isUnaryAnswer(answer, receipt)
  );
}

/**
 * Whether the bytes are the answer of a unary method as a gateway can hand it over: Metadata and a
 * StatusFrame that gRPC carries, the code that the receipt states, one message if and only if it is OK.
 */
function isUnaryAnswer(answer: AnswerFrame, receipt: Receipt): boolean {
  try {
    const status = fromBinary(StatusFrameSchema, answer.status);
    assertMetadata(fromBinary(MetadataSchema, answer.headers));
    trailersFromStatus(status);
    return (
      status.code <= grpcCodeMax &&
      status.code === receipt.status?.grpcCode &&
      answer.messages.length === (status.code === 0 ? 1 : 0)
    );
  } catch {
    // The decoder says in no other way that the bytes are of no such message.
    return false;
  }
}

/** Whether the time of the seal agrees with the own clock, the token and the ledger. */
function timeCheck(
  header: Header,
  sent: SentCall,
  replica: Replica,
  nowMs: number,
): CheckResult | undefined {
  const sealedAtMs = Number(header.sealedAt);
  if (sealedAtMs > nowMs + sent.skewMs || sealedAtMs < sent.issuedAt * 1000 - sent.skewMs) {
    return "time-implausible";
  }
  const isNewest = (replica.final()?.size ?? 0n) <= header.seenSize;
  const next = isNewest ? undefined : replica.frozenNote(header.seenSize);
  if (next !== undefined && sealedAtMs - next.timeMs > sent.maxStalenessMs) return "stale-seal";
  return undefined;
}

function grantTaken(header: Header, sent: SentCall, replica: Replica): boolean {
  const until = replica.state().grants.get(sent.grantJti)?.standing.until;
  return until !== undefined && until.index < header.seenSize;
}

/** The result to acknowledge for a receipt whose proof is valid and whose seen ledger is the own. */
export function checkReceipt(options: {
  readonly answer: AnswerFrame;
  readonly receipt: Receipt;
  readonly header: Header;
  readonly sent: SentCall;
  /** The Opened that came with the answer to a method that writes; its proof was valid. */
  readonly opened: ReceivedOpened | undefined;
  readonly replica: Replica;
  readonly nowMs: number;
}): CheckResult {
  const { answer, receipt, header, sent, replica } = options;
  const time = timeCheck(header, sent, replica, options.nowMs);
  if (time !== undefined) return time;
  if (grantTaken(header, sent, replica)) return "grant-taken";
  return bytesMatch(answer, receipt, sent, options.opened) ? "match" : "commitment-mismatch";
}
