/** Errors of the ledger's services on the wire, and back. */
import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Metadata, type ServiceError, type StatusObject, status as grpc } from "@grpc/grpc-js";
import { CausewayError } from "../../src/base/errors.ts";
import { isReasonCode, type ReasonCode } from "../../src/base/reasons.ts";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { errorDomain, statusOf } from "../../src/exchange/status.ts";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";

const detailsKey = "grpc-status-details-bin";

/** The status that a handler answers with. What is no error of ours leaves as INTERNAL without its text. */
export function grpcStatus(error: unknown): StatusObject {
  const known = error instanceof CausewayError ? error : undefined;
  const frame = statusOf(known?.code ?? "INTERNAL", known?.fields ?? {});
  const metadata = new Metadata();
  metadata.set(detailsKey, Buffer.from(frame.details));
  return { code: frame.code, details: parseUtf8(frame.message) ?? "", metadata };
}

/** The error that a client's caller sees: the reason that the other side gave, otherwise LEDGER_UNAVAILABLE. */
export function ledgerError(error: unknown): CausewayError {
  if (error instanceof CausewayError) return error;
  const service = error as Partial<ServiceError>;
  const code = reasonOf(service.metadata) ?? "LEDGER_UNAVAILABLE";
  return new CausewayError(code, `the sequencer answered ${grpc[service.code ?? grpc.UNKNOWN]}`, {
    cause: error,
  });
}

function reasonOf(metadata: Metadata | undefined): ReasonCode | undefined {
  const [value] = metadata?.get(detailsKey) ?? [];
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    for (const any of fromBinary(StatusSchema, value).details) {
      const info = anyUnpack(any, ErrorInfoSchema);
      if (info?.domain === errorDomain && isReasonCode(info.reason)) return info.reason;
    }
    return undefined;
  } catch {
    // Details that cannot be read tell nothing: the status alone counts.
    return undefined;
  }
}
