/** The request of a unary call. */
import { CausewayError } from "../../base/errors.ts";
import type { IncomingCall } from "./ports.ts";

/**
 * The only message of a call. Rejects with CALL_TYPE_UNSUPPORTED when there is more than one, with
 * PROTOCOL_ERROR when there is none, and as `read` does.
 */
export async function readUnary(call: IncomingCall): Promise<Uint8Array> {
  const message = await call.read();
  if (message === undefined) throw new CausewayError("PROTOCOL_ERROR", "the call has no message");
  if ((await call.read()) !== undefined) {
    throw new CausewayError("CALL_TYPE_UNSUPPORTED", "the call has more than one message");
  }
  return message;
}
