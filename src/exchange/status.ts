/**
 * How a call ends for its caller: `google.rpc.Status` with `ErrorInfo`, `LocalizedMessage` in English
 * and Simplified Chinese, inside the status frame that travels and is committed to (AIP-193).
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { utf8 } from "../base/bytes.ts";
import { type ReasonCode, reason } from "../base/reasons.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import { ErrorInfoSchema, LocalizedMessageSchema } from "../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";

/** Domain of every `ErrorInfo` of ours. */
export const errorDomain: string = "causeway";

/** The status frame of a reason code; `fields` go into the `ErrorInfo`. */
export function statusOf(
  code: ReasonCode,
  fields: Readonly<Record<string, string>> = {},
): StatusFrame {
  const { grpcCode, en, zh, next } = reason(code);
  const message = `${en} ${next}`;
  const details = create(StatusSchema, {
    code: grpcCode,
    message,
    details: [
      anyPack(
        ErrorInfoSchema,
        create(ErrorInfoSchema, { reason: code, domain: errorDomain, metadata: { ...fields } }),
      ),
      anyPack(LocalizedMessageSchema, create(LocalizedMessageSchema, { locale: "en", message })),
      anyPack(
        LocalizedMessageSchema,
        create(LocalizedMessageSchema, { locale: "zh-CN", message: zh }),
      ),
    ],
  });
  return create(StatusFrameSchema, {
    code: grpcCode,
    message: utf8(message),
    details: toBinary(StatusSchema, details),
    trailers: create(MetadataSchema, {}),
  });
}
