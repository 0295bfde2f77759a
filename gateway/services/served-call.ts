/** Calls of an agency system that the gateway answers itself: typed messages over an IncomingCall. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

/** Serves one call of an authenticated agency system. */
export type ServeCall = (call: IncomingCall, caller: AgencySystem) => void;

/** Input and output of a method, as its generated descriptor has them. */
export interface MethodTypes<I extends DescMessage, O extends DescMessage> {
  readonly input: I;
  readonly output: O;
}

export const okStatus: StatusFrame = create(StatusFrameSchema, {
  trailers: create(MetadataSchema),
});

/** The status of what went wrong. What is no error of ours is told to `onError`, and not to the caller. */
export function statusOfError(error: unknown, onError: (error: unknown) => void): StatusFrame {
  if (error instanceof CausewayError) return statusOf(error.code, error.fields);
  onError(error);
  return statusOf("INTERNAL");
}

/** Answers a unary method. */
export async function serveUnary<I extends DescMessage, O extends DescMessage>(
  call: IncomingCall,
  { input, output }: MethodTypes<I, O>,
  answer: (request: MessageShape<I>) => MessageInitShape<O>,
): Promise<void> {
  const response = create(output, answer(await readOnly(call, input)));
  call.answer(create(MetadataSchema), [toBinary(output, response)], okStatus);
}

/** The only message of a request. Throws PROTOCOL_ERROR unless there is exactly one, MALFORMED. */
export async function readOnly<I extends DescMessage>(
  call: IncomingCall,
  schema: I,
): Promise<MessageShape<I>> {
  const bytes = await call.read();
  if (bytes === undefined || (await call.read()) !== undefined) {
    throw new CausewayError("PROTOCOL_ERROR", "a unary request is one message");
  }
  return messageOf(schema, bytes);
}

/** A message of a caller. Throws MALFORMED. */
export function messageOf<I extends DescMessage>(schema: I, bytes: Uint8Array): MessageShape<I> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new CausewayError("MALFORMED", `no ${schema.typeName}`, { cause });
  }
}
