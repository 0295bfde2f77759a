/**
 * How a call ends for its caller: `google.rpc.Status` with `ErrorInfo`, `LocalizedMessage` in English
 * and Simplified Chinese, and `Help`, inside the status frame that travels and is committed to (AIP-193).
 */
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { utf8 } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { statusFieldsBytesMax } from "../base/limits.ts";
import { type ReasonCode, reason } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import {
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
} from "../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../gen/google/rpc/status_pb.ts";

/** Domain of every `ErrorInfo` of ours. */
export const errorDomain: string = "causeway";

/** The page with a section for each reason, in what the release ships. */
export const reasonsPage: string = "docs/reasons.md";

/** The status frame of a reason code; `fields` go into the `ErrorInfo`, as far as there is room. */
export function statusOf(
  code: ReasonCode,
  fields: Readonly<Record<string, string>> = {},
): StatusFrame {
  const { grpcCode, en, zh, next, nextZh } = reason(code);
  const message = `${en} ${next}`;
  const details = createMessage(StatusSchema, {
    code: grpcCode,
    message,
    details: [
      anyPack(
        ErrorInfoSchema,
        createMessage(ErrorInfoSchema, {
          reason: code,
          domain: errorDomain,
          metadata: withinRoom(fields),
        }),
      ),
      localized("en", message),
      localized("zh-CN", `${zh}${nextZh}`),
      help(code, `${next} ${nextZh}`),
    ],
  });
  return createMessage(StatusFrameSchema, {
    code: grpcCode,
    message: utf8(message),
    details: encodeMessage(StatusSchema, details),
    trailers: createMessage(MetadataSchema, {}),
  });
}

function localized(locale: string, message: string): Any {
  return anyPack(
    LocalizedMessageSchema,
    createMessage(LocalizedMessageSchema, { locale, message }),
  );
}

/** The next step, and where more is said of it. */
function help(code: ReasonCode, description: string): Any {
  const url = `${reasonsPage}#${code.toLowerCase()}`;
  return anyPack(HelpSchema, createMessage(HelpSchema, { links: [{ description, url }] }));
}

/** The fields in their order, without those for which the details of a status have no room. */
function withinRoom(fields: Readonly<Record<string, string>>): Record<string, string> {
  const fitting: Record<string, string> = {};
  let room = statusFieldsBytesMax;
  for (const [name, value] of Object.entries(fields)) {
    const bytes = utf8(name).length + utf8(value).length;
    if (bytes > room) continue;
    room -= bytes;
    fitting[name] = value;
  }
  return fitting;
}
