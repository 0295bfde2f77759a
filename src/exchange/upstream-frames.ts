/** What passes between a provider gateway and an upstream: caller facts in, an answer without reserved metadata out. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CausewayError } from "../base/errors.ts";
import { formatUuid } from "../base/ids.ts";
import {
  type Metadata,
  MetadataSchema,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { CallStatement } from "../gen/causeway/record/v1/parts_pb.ts";
import { withEntries, withoutReserved } from "./call-metadata.ts";
import type { EncodedAnswer } from "./provider-records.ts";
import type { SentValues } from "./received-call.ts";
import { assertMetadata } from "./transport/metadata.ts";
import type { UnaryAnswer } from "./transport/ports.ts";
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
  const received = withoutReserved(fromBinary(MetadataSchema, call.received));
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

/**
 * What of an upstream's answer travels and is committed to: reserved metadata is not its to set. Throws
 * METADATA_INVALID or METADATA_TOO_LARGE for an answer that the consumer could not hand over.
 */
export function encodeUpstreamAnswer(answer: UnaryAnswer): EncodedAnswer {
  const trailers = withoutReserved(answer.status.trailers ?? create(MetadataSchema));
  const status = create(StatusFrameSchema, { ...answer.status, trailers });
  const headers = withoutReserved(answer.headers);
  const fault = faultOf(() => {
    assertMetadata(headers);
    trailersFromStatus(status);
  });
  if (fault !== undefined)
    throw new CausewayError(fault, "the answer's metadata cannot be carried");
  return {
    headers: toBinary(MetadataSchema, headers),
    messages: answer.messages,
    status: toBinary(StatusFrameSchema, status),
    grpcCode: status.code,
  };
}
