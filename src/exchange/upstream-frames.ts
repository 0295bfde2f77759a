/** What passes between a provider gateway and an upstream: caller facts in, an answer without reserved metadata out. */
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { formatUuid } from "../base/ids.ts";
import { batchRecordsMax } from "../base/limits.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import {
  type Metadata,
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import { formatHandle } from "../record/handle.ts";
import { exchangeTrailers, withEntries, withoutReserved } from "./call-metadata.ts";
import type { SentValues } from "./received-call.ts";
import { assertMetadata } from "./transport/metadata.ts";
import { trailersFromStatus } from "./transport/trailers.ts";

/** The caller's metadata with the facts of the call, which only this gateway may set. */
export function upstreamHeaders(call: {
  /** Encoded Metadata as it came over the link. */
  readonly received: Uint8Array;
  readonly statement: CallStatement;
  /** Agency id. */
  readonly consumer: string;
  readonly sent: SentValues;
}): Metadata {
  const { statement, sent } = call;
  const received = withoutReserved(decodeMessage(MetadataSchema, call.received));
  const facts: [string, string | Uint8Array][] = [
    ["causeway-exchange-id", formatUuid(statement.xid)],
    ["causeway-consumer", call.consumer],
    ["causeway-service", statement.service],
    ["causeway-purpose", statement.purpose],
  ];
  if (sent.case !== undefined) facts.push(["causeway-case", sent.case]);
  if (sent.official !== undefined) facts.push(["causeway-official", sent.official]);
  if (sent.idempotency !== undefined) facts.push(["causeway-idempotency-key", sent.idempotency]);
  return withEntries(received, facts);
}

/** What differs between two calls that are one request: the call itself, and where it is traced. */
const ofOneCall: ReadonlySet<string> = new Set([
  "causeway-exchange-id",
  "traceparent",
  "tracestate",
]);

/** The part of an upstream's headers by which it is told whether calls under one idempotency key are one request. */
export function joinedHeaders({ entries }: Metadata): Uint8Array {
  const kept = entries.filter(({ key }) => !ofOneCall.has(key));
  return encodeMessage(MetadataSchema, createMessage(MetadataSchema, { entries: kept }));
}

/**
 * Why the metadata of a call cannot go to an upstream; `undefined` when it can. What a peer sends is
 * bytes until here: it may be no Metadata, or hold what HTTP/2 cannot carry.
 */
export function metadataFault(
  call: Parameters<typeof upstreamHeaders>[0],
): MetadataFault | undefined {
  let headers: Metadata;
  try {
    headers = upstreamHeaders(call);
  } catch {
    // The decoder says in no other way that the bytes are no Metadata.
    return "METADATA_INVALID";
  }
  return faultOf(() => assertMetadata(headers));
}

type MetadataFault = "METADATA_INVALID" | "METADATA_TOO_LARGE";

function faultOf(check: () => void): MetadataFault | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    return error.code === "METADATA_TOO_LARGE" ? error.code : "METADATA_INVALID";
  }
}

function assertCarried(check: () => void): void {
  const fault = faultOf(check);
  if (fault !== undefined) {
    throw new CausewayError(fault, "the answer's metadata cannot be carried");
  }
}

/**
 * What of an upstream's headers travels and is committed to: reserved metadata is not its to set. Throws
 * METADATA_INVALID or METADATA_TOO_LARGE for what the consumer could not hand over.
 */
export function carriedHeaders(headers: Metadata): Metadata {
  const carried = withoutReserved(headers);
  assertCarried(() => assertMetadata(carried));
  return carried;
}

/** What of an upstream's status and trailers travels; throws as `carriedHeaders`. */
export function carriedStatus(status: StatusFrame): StatusFrame {
  const trailers = withoutReserved(status.trailers ?? createMessage(MetadataSchema));
  const carried = createMessage(StatusFrameSchema, { ...status, trailers });
  assertCarried(() => assertStatus(carried));
  return carried;
}

const longestHandle = formatHandle(new Uint8Array(32), batchRecordsMax);

/**
 * Throws METADATA_TOO_LARGE and PROTOCOL_ERROR for a status that cannot be handed over: the trailers that say
 * where its evidence is go with it.
 */
export function assertStatus(status: StatusFrame): void {
  const trailers = exchangeTrailers(status.trailers, new Uint8Array(16), longestHandle);
  trailersFromStatus(createMessage(StatusFrameSchema, { ...status, trailers }));
}
