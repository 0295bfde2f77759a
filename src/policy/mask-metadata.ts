/** What a mask lets through of headers, trailers and status (DESIGN.md section 5). */
import { emptyBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import {
  type Metadata,
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";

/** Keys that stand for the message and the details of a status; its code always passes. */
export const statusMessageKey: string = "grpc-message";
export const statusDetailsKey: string = "grpc-status-details-bin";

/** The entries whose key is allowed, in their order. */
export function maskMetadata(metadata: Metadata, allowed: readonly string[]): Metadata {
  const entries = metadata.entries.filter(({ key }) => allowed.includes(key));
  return createMessage(MetadataSchema, { entries });
}

/** The status with its code and, as far as their keys are allowed, message, details and trailers. */
export function maskStatus(status: StatusFrame, allowed: readonly string[]): StatusFrame {
  const { code, message, details, trailers } = status;
  const masked = createMessage(StatusFrameSchema, {
    code,
    message: allowed.includes(statusMessageKey) ? message : emptyBytes,
    details: allowed.includes(statusDetailsKey) ? details : emptyBytes,
  });
  if (trailers !== undefined) masked.trailers = maskMetadata(trailers, allowed);
  return masked;
}
