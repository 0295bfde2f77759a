/**
 * What a consumer checks of a receipt before it acknowledges and hands over, against its own replica and
 * the bytes that it got. The first check that fails is the one recorded.
 */
import { equalBytes } from "../base/bytes.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { commit, commitmentBytes } from "../crypto/commitments.ts";
import { MetadataSchema, StatusFrameSchema } from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame, Opening } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Call } from "../gen/causeway/record/v1/parts_pb.ts";
import type { Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import type { CheckResult } from "./consumer-machine.ts";
import type { VerifiedCall } from "./provider-records.ts";
import type { ReceivedAnswer } from "./received-answer.ts";
import { assertMetadata } from "./transport/metadata.ts";
import { assertStatus } from "./upstream-frames.ts";

/** The highest gRPC status code: UNAUTHENTICATED. */
const grpcCodeMax = 16;

/** What the consumer knows of its own attempt. */
export interface SentCall {
  readonly call: VerifiedCall;
  /** The method's answer is one message. */
  readonly oneAnswer: boolean;
  /** So is its request: the answer is one segment. */
  readonly unary: boolean;
  /** The commitment to the first so many frames of the request; `undefined` for what was not sent. */
  requestAt(frames: bigint): Uint8Array | undefined;
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

/** The salt of `response` that came with a first segment; `undefined` when no usable one did. */
export function responseSalt(answer: AnswerFrame): Uint8Array | undefined {
  return saltOf(answer.openings, "response");
}

/** The commitment to the response as it was received; `undefined` without a usable salt. */
export function receivedResponse({ salt, transcript }: ReceivedAnswer): Uint8Array | undefined {
  return salt === undefined ? undefined : commit({ label: "response", salt, value: transcript });
}

/** Opened as it came with the answer: its record hash and the call that it holds. */
export interface ReceivedOpened {
  readonly recordHash: Uint8Array;
  readonly call: Call | undefined;
}

/** A segment that came, beside what came before. */
export interface ReceivedSegment {
  readonly answer: AnswerFrame;
  readonly receipt: Receipt;
  /** The whole answer so far, this segment included. */
  readonly received: ReceivedAnswer;
  /** The Opened that came with the first segment of a method that writes; its proof was valid. */
  readonly opened: ReceivedOpened | undefined;
}

function bindsCall({ receipt, received, opened }: ReceivedSegment, sent: SentCall): boolean {
  const { start } = receipt;
  if (start.case === "begin") {
    return (
      received.segment === 1 && opened === undefined && isSameCall(start.value.call, sent.call)
    );
  }
  if (start.case !== "prevRecord") return false;
  if (received.segment > 1) {
    return received.previous !== undefined && equalBytes(start.value.hash, received.previous);
  }
  return (
    opened !== undefined &&
    equalBytes(start.value.hash, opened.recordHash) &&
    isSameCall(opened.call, sent.call)
  );
}

function requestMatches({ receipt, received }: ReceivedSegment, sent: SentCall): boolean {
  const { progress } = receipt;
  if (progress === undefined || progress.requestFrames < received.requestFrames) return false;
  const own = sent.requestAt(progress.requestFrames);
  return own !== undefined && equalBytes(progress.request, own);
}

function countsMatch({ answer, receipt, received }: ReceivedSegment): boolean {
  const { progress } = receipt;
  return (
    progress !== undefined &&
    progress.segment === received.segment &&
    progress.framesFirst === BigInt(received.framesFirst) &&
    progress.framesEnd === BigInt(received.framesEnd) &&
    progress.messages === BigInt(answer.messages.length)
  );
}

function bytesMatch(segment: ReceivedSegment, sent: SentCall): boolean {
  const { answer, receipt, received } = segment;
  const response = receivedResponse(received);
  return (
    response !== undefined &&
    receipt.progress !== undefined &&
    equalBytes(receipt.progress.response, response) &&
    bindsCall(segment, sent) &&
    requestMatches(segment, sent) &&
    countsMatch(segment) &&
    (received.segment > 1 || isMetadata(answer.headers)) &&
    (receipt.final ? isStatus(segment, sent) : !sent.unary && receipt.status === undefined)
  );
}

/** Whether the bytes are Metadata that gRPC carries. */
function isMetadata(headers: Uint8Array): boolean {
  return holds(() => assertMetadata(decodeMessage(MetadataSchema, headers)));
}

/**
 * Whether the last segment ends the call as a gateway can hand it over: a StatusFrame that gRPC carries,
 * the code that the receipt states, and where one message is the answer, one if and only if it is OK.
 */
function isStatus({ answer, receipt, received }: ReceivedSegment, sent: SentCall): boolean {
  const salt = saltOf(answer.openings, "status");
  const stated = receipt.status;
  if (salt === undefined || stated === undefined) return false;
  if (!equalBytes(commit({ label: "status", salt, value: answer.status }), stated.status)) {
    return false;
  }
  return holds(() => {
    const status = decodeMessage(StatusFrameSchema, answer.status);
    assertStatus(status);
    const messages = received.framesEnd - 1;
    const counted = !sent.oneAnswer || messages === (status.code === 0 ? 1 : 0);
    if (status.code > grpcCodeMax || status.code !== stated.grpcCode || !counted) {
      throw new RangeError("not the status of this answer");
    }
  });
}

function holds(check: () => void): boolean {
  try {
    check();
    return true;
  } catch {
    // A decoder says in no other way that the bytes are of no such message.
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
export function checkReceipt(
  options: ReceivedSegment & {
    readonly header: Header;
    readonly sent: SentCall;
    readonly replica: Replica;
    readonly nowMs: number;
  },
): CheckResult {
  const { header, sent, replica } = options;
  const time = timeCheck(header, sent, replica, options.nowMs);
  if (time !== undefined) return time;
  if (grantTaken(header, sent, replica)) return "grant-taken";
  return bytesMatch(options, sent) ? "match" : "commitment-mismatch";
}
