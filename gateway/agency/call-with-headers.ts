import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import type { Metadata } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

/** Every member of a call, those that may be absent too: none is lost by what stands in for it. */
type WholeCall = { readonly [K in keyof Required<IncomingCall>]: IncomingCall[K] };

/** The same call under other headers. */
export function withHeaders(call: IncomingCall, headers: Metadata): IncomingCall {
  if (headers === call.headers) return call;
  const whole: WholeCall = {
    path: call.path,
    headers,
    timeoutMs: call.timeoutMs,
    peerCertificate: call.peerCertificate,
    unsupported: call.unsupported,
    read: () => call.read(),
    readAhead: call.readAhead && (async () => call.readAhead?.()),
    sendHeaders: (sent) => call.sendHeaders(sent),
    sendMessage: (message, written) => call.sendMessage(message, written),
    end: (status) => call.end(status),
    answer: (sent, messages, status) => call.answer(sent, messages, status),
    onCancelled: (listener) => call.onCancelled(listener),
  };
  return whole;
}
