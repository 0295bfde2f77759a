/** What an agency system gets of a segment that is acknowledged. */
import { createMessage } from "../base/create-message.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import {
  type Metadata,
  MetadataSchema,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import { withoutReserved } from "./call-metadata.ts";
import type { IncomingCall } from "./transport/ports.ts";

/** Resolves when the caller's transport has taken the segment: with the gRPC code of the status, if that was in it. */
export async function handOver(
  incoming: Pick<IncomingCall, "answer" | "end" | "sendHeaders" | "sendMessage">,
  { headers, messages, status }: Pick<AnswerFrame, "headers" | "messages" | "status">,
  segment: {
    readonly isFirst: boolean;
    /** It is the whole answer of a unary method. */
    readonly isWhole: boolean;
    /** Of the last segment: its trailers, with where the evidence is. */
    readonly trailers: ((received: Metadata | undefined) => Metadata) | undefined;
    /** Headers were given to the caller, or a message has left for it. */
    readonly taken: () => void;
    /** All messages have left: nothing of them is used any more. */
    readonly left: () => void;
  },
): Promise<number | undefined> {
  const { isFirst, isWhole, trailers, taken, left } = segment;
  const metadata = isFirst ? withoutReserved(decodeMessage(MetadataSchema, headers)) : undefined;
  const received = trailers && decodeMessage(StatusFrameSchema, status);
  const ending =
    received &&
    createMessage(StatusFrameSchema, {
      ...received,
      trailers: trailers?.(received.trailers) as Metadata,
    });
  if (isWhole && metadata !== undefined && ending !== undefined) {
    incoming.answer(metadata, messages, ending);
    return ending.code;
  }
  if (metadata !== undefined) {
    incoming.sendHeaders(metadata);
    taken();
  }
  let unwritten = messages.length;
  const written = (): void => {
    taken();
    unwritten -= 1;
    if (unwritten === 0) left();
  };
  for (const bytes of messages) await incoming.sendMessage(bytes, written);
  if (ending !== undefined) incoming.end(ending);
  return ending?.code;
}
