/** Our errors as gRPC statuses and back, for our own services: `google.rpc.Status` with `ErrorInfo`. */
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, status as grpcStatus } from "@grpc/grpc-js";
import { parseUtf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { isReasonCode, type ReasonCode } from "../../base/reasons.ts";
import { decodeMessage } from "../../base/wire-reader.ts";
import { type ErrorInfo, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { errorDomain, statusOf } from "../status.ts";

const detailsKey = "grpc-status-details-bin";

/**
 * The error with which a handler of ours ends a call. What is not a CausewayError leaves as INTERNAL
 * without its text: the caller of this function logs it.
 */
export function toServiceError(error: unknown): ServiceError {
  const known = error instanceof CausewayError;
  const frame = statusOf(known ? error.code : "INTERNAL", known ? error.fields : {});
  const metadata = new Metadata();
  metadata.set(detailsKey, Buffer.from(frame.details));
  const details = parseUtf8(frame.message) ?? "";
  return Object.assign(new Error(details), { code: frame.code, details, metadata });
}

/**
 * The error that a call of a service of ours ended with: the reason that the server gave, or one for
 * the gRPC code alone.
 *
 * @param unavailable the reason for UNAVAILABLE without details, that is, of the connection itself
 */
export function fromServiceError(
  error: ServiceError,
  unavailable: ReasonCode = "PEER_UNAVAILABLE",
): CausewayError {
  const info = errorInfoOf(error);
  if (info !== undefined && isReasonCode(info.reason)) {
    return new CausewayError(info.reason, error.details, { cause: error, fields: info.metadata });
  }
  return new CausewayError(reasonOfCode(error.code, unavailable), error.details, { cause: error });
}

function reasonOfCode(code: number, unavailable: ReasonCode): ReasonCode {
  switch (code) {
    case grpcStatus.UNAVAILABLE:
      return unavailable;
    case grpcStatus.DEADLINE_EXCEEDED:
      return "DEADLINE";
    case grpcStatus.CANCELLED:
      return "CANCELLED";
    case grpcStatus.RESOURCE_EXHAUSTED:
      return "MESSAGE_TOO_LARGE";
    case grpcStatus.UNIMPLEMENTED:
      return "METHOD_UNKNOWN";
    default:
      return "INTERNAL";
  }
}

function errorInfoOf(error: ServiceError): ErrorInfo | undefined {
  const [value] = error.metadata?.get(detailsKey) ?? [];
  return value instanceof Uint8Array ? errorInfoIn(value) : undefined;
}

/** The `ErrorInfo` of ours in an encoded `google.rpc.Status`, if there is one. */
export function errorInfoIn(details: Uint8Array): ErrorInfo | undefined {
  try {
    for (const any of decodeMessage(StatusSchema, details).details) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info !== undefined && info.domain === errorDomain) return info;
    }
  } catch {
    // Details that do not decode say nothing: the gRPC code stands.
  }
  return undefined;
}
