/** Opens a streaming call of a connector and keeps what is heard of it. */
import type { CausewayError } from "../../src/base/errors.ts";
import type { UpstreamConnector, UpstreamStream } from "../../src/exchange/transport/ports.ts";
import type { Metadata, StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { metadata } from "../transport/support.ts";

export interface Heard {
  readonly stream: UpstreamStream;
  readonly messages: Uint8Array[];
  status: StatusFrame | undefined;
  error: CausewayError | undefined;
  readonly headers: Promise<Metadata>;
  readonly ended: Promise<void>;
  /** Resolves when so many messages have come. */
  message(count: number): Promise<void>;
}

export function hear(
  connector: UpstreamConnector,
  call: {
    readonly path: string;
    readonly requests: readonly Uint8Array[];
    readonly timeoutMs?: number | undefined;
    readonly messageBytesMax?: number;
    readonly signal?: AbortSignal;
  },
): Heard {
  const messages: Uint8Array[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  let gotHeaders: (headers: Metadata) => void = () => undefined;
  let end: () => void = () => undefined;
  const headers = new Promise<Metadata>((resolve) => {
    gotHeaders = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  if (connector.open === undefined) throw new Error("it opens no stream");
  const stream = connector.open(
    {
      path: call.path,
      headers: metadata(),
      timeoutMs: call.timeoutMs,
      messageBytesMax: call.messageBytesMax ?? 100_000,
      signal: call.signal ?? new AbortController().signal,
    },
    {
      onHeaders: gotHeaders,
      onMessage: (message) => {
        messages.push(message);
        for (const { count, resolve } of waiting) if (messages.length >= count) resolve();
      },
      onEnd: (status) => {
        heard.status = status;
        end();
      },
      onFailed: (error) => {
        heard.error = error;
        end();
      },
    },
  );
  const heard: Heard = {
    stream,
    messages,
    status: undefined,
    error: undefined,
    headers,
    ended,
    message: (count) =>
      new Promise((resolve) => {
        if (messages.length >= count) resolve();
        else waiting.push({ count, resolve });
      }),
  };
  for (const request of call.requests) void stream.write(request);
  stream.halfClose();
  return heard;
}
