/** The answer of one call on the server side of HTTP/2: headers, messages, status. */
import type {
  OutgoingHttpHeaders,
  ServerHttp2Stream,
  ServerStreamResponseOptions,
} from "node:http2";
import { CausewayError } from "../../base/errors.ts";
import { answerWriteBytesMax } from "../../base/limits.ts";
import type { Metadata, StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { statusOf } from "../status.ts";
import { Http2Outbox } from "./http2-outbox.ts";
import { fieldsFromMetadata } from "./metadata.ts";
import { trailersFromStatus } from "./trailers.ts";

/** The encodings of messages that are read here, for `grpc-accept-encoding`. */
export const encodingsRead: string = "identity,gzip";

// node:http2 has the option `sendDate`, its types do not: a `date` would reach the caller as metadata.
const noDate: object = { sendDate: false };
const headersOnly: ServerStreamResponseOptions = { waitForTrailers: true, ...noDate };
/** To send header fields as the whole of an answer. */
export const headersAndEnd: ServerStreamResponseOptions = { endStream: true, ...noDate };

export interface Http2AnswerOptions {
  /** Whether messages are compressed. */
  readonly gzip: boolean;
  /** Called once the status has left, behind all messages. */
  onStatusSent(): void;
}

/** What has been said cannot be taken back: each step is done at most once, the rest does nothing. */
export class Http2Answer {
  readonly #stream: ServerHttp2Stream;
  readonly #outbox: Http2Outbox;
  readonly #options: Http2AnswerOptions;
  #trailers: OutgoingHttpHeaders | undefined;
  #finished = false;

  constructor(stream: ServerHttp2Stream, options: Http2AnswerOptions) {
    this.#stream = stream;
    this.#outbox = new Http2Outbox(stream, {
      gzip: options.gzip,
      waitingBytesMax: answerWriteBytesMax,
    });
    this.#options = options;
  }

  sendHeaders(headers: Metadata): void {
    if (this.#over || this.#stream.headersSent) return;
    this.#guarded(() => this.#respond(fieldsFromMetadata(headers)));
  }

  async sendMessage(message: Uint8Array, written?: () => void): Promise<void> {
    if (this.#over) return;
    if (!this.#stream.headersSent) this.#respond({});
    await this.#outbox.write(message, written);
  }

  end(status: StatusFrame): void {
    if (this.#over) return;
    this.#guarded(() => this.#finish({}, trailersFromStatus(status)));
  }

  whole(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void {
    if (this.#over) return;
    this.#guarded(() => {
      const fields = fieldsFromMetadata(headers);
      const trailers = trailersFromStatus(status);
      if (!this.#stream.headersSent && (messages.length > 0 || headers.entries.length > 0)) {
        this.#respond(fields);
      }
      for (const message of messages) void this.#outbox.write(message);
      this.#finish(fields, trailers);
    });
  }

  get #over(): boolean {
    return this.#finished || this.#stream.destroyed || this.#stream.closed;
  }

  // What cannot be sent ends the call with the reason why, once.
  #guarded(send: () => void): void {
    try {
      send();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.#finish({}, trailersFromStatus(statusOf(error.code, error.fields)));
    }
  }

  #respond(fields: OutgoingHttpHeaders): void {
    const stream = this.#stream;
    stream.on("wantTrailers", () => {
      stream.sendTrailers(this.#trailers ?? {});
      this.#options.onStatusSent();
    });
    const answered = responseFields(fields);
    if (this.#options.gzip) answered["grpc-encoding"] = "gzip";
    stream.respond(answered, headersOnly);
  }

  #finish(fields: OutgoingHttpHeaders, trailers: OutgoingHttpHeaders): void {
    this.#finished = true;
    if (this.#stream.headersSent) {
      this.#trailers = trailers;
      this.#outbox.end();
    } else {
      const only = { ...fields, ...trailers };
      this.#stream.respond(responseFields(only), headersAndEnd);
      this.#options.onStatusSent();
    }
  }
}

function responseFields(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-accept-encoding": encodingsRead,
    ...fields,
  };
}
