/** The side that opens exchange streams: the consumer's gateway, on a connection beside each link. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { connectMs, exchangeStreamsMax } from "../../base/limits.ts";
import { isReasonCode, type ReasonCode } from "../../base/reasons.ts";
import { failedFrame } from "../frames.ts";
import type { Carriage, CarriageListener, FrameBody, LinkEnd, Written } from "../ports.ts";
import { ExchangeStream, type PartialBudget } from "./exchange-stream.ts";
import { exchangePath } from "./exchange-stream-codec.ts";
import {
  createPartialBudget,
  exchangeServerName,
  exchangeSessionOptions,
  tendSession,
} from "./exchange-stream-session.ts";
import { FrameBuffers } from "./frame-buffers.ts";
import { errorInfoIn } from "./grpc-errors.ts";
import { acceptExactly, type PeerTls, secureContextOptions } from "./tls-options.ts";
import { hasStatus, statusFromTrailers } from "./trailers.ts";

export interface StreamClientOptions {
  readonly link: LinkEnd;
  /** `host:port` of the listener for peers. */
  readonly address: string;
  /** The own certificate that the link was opened with; trusted is the one that the link's peer has shown. */
  readonly tls: PeerTls;
  readonly scheduler: Scheduler;
  readonly defer: (run: () => void) => void;
  /** A stream, or the whole connection, that did not come about or broke the protocol, for telemetry. */
  readonly onRefused: (error: CausewayError) => void;
  /** A stream has ended. */
  readonly onClosed?: () => void;
}

/** The streams beside one link. Their connection is opened with the first of them. */
export interface StreamClient {
  /** Opens a stream. The listener hears of it in later turns only. */
  open(listener: CarriageListener): Carriage;
  /** Streams that are open, on this connection. */
  readonly count: number;
  /** The link has ended: so do its streams. */
  close(): void;
}

export function createStreamClient(options: StreamClientOptions): StreamClient {
  const streams = new Set<ExchangeStream>();
  let connection: Connection | undefined;
  let closed = false;
  const refused = (listener: CarriageListener, reason: ReasonCode | undefined): Carriage => {
    const carriage = new UnopenedCarriage(options.link, listener);
    options.defer(() => carriage.end(reason));
    return carriage;
  };
  return {
    get count() {
      return streams.size;
    },
    open: (listener) => {
      if (closed) return refused(listener, undefined);
      if (streams.size >= exchangeStreamsMax) return refused(listener, "BUSY");
      connection = connection?.usable === true ? connection : new Connection(options);
      const stream = connection.open(() => {
        streams.delete(stream);
        if (streams.size === 0) connection?.rest();
        options.onClosed?.();
      });
      streams.add(stream);
      // A stream that fails at once says so when its opener knows it.
      options.defer(() => stream.listen(listener));
      return stream;
    },
    close: () => {
      closed = true;
      for (const stream of [...streams]) stream.lost();
      connection?.close();
    },
  };
}

/** Stands for a stream that is not opened: its link has ended, or for the reason that it says. */
class UnopenedCarriage implements Carriage {
  readonly link: LinkEnd;
  #listener: CarriageListener | undefined;

  constructor(link: LinkEnd, listener: CarriageListener) {
    this.link = link;
    this.#listener = listener;
  }

  send(_body: FrameBody, written?: Written): void {
    written?.(false);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#listener = undefined;
  }

  end(reason: ReasonCode | undefined): void {
    this.#listener?.onLost(reason);
    this.#listener = undefined;
  }
}

class Connection {
  readonly #o: StreamClientOptions;
  readonly #session: ClientHttp2Session;
  readonly #partial: PartialBudget = createPartialBudget();
  readonly #buffers = new FrameBuffers();

  constructor(options: StreamClientOptions) {
    const { address, scheduler, tls } = options;
    this.#o = options;
    this.#session = connect(`https://${address}`, {
      ...exchangeSessionOptions,
      ...secureContextOptions(tls),
      servername: exchangeServerName,
      checkServerIdentity: acceptExactly(tls.trusted),
    });
    const session = this.#session;
    let failure: Error | undefined;
    const cancel = scheduler.after(connectMs, () =>
      session.destroy(new Error("connecting took too long")),
    );
    session.once("remoteSettings", () => {
      cancel();
      tendSession(session, scheduler);
    });
    session.on("error", (error) => {
      failure = error;
    });
    session.once("close", () => {
      cancel();
      if (failure !== undefined) options.onRefused(unavailable(failure));
    });
  }

  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  open(onClosed: () => void): ExchangeStream {
    const { link, onRefused, scheduler } = this.#o;
    const stream = this.#session.request({
      ":method": "POST",
      ":path": exchangePath,
      ":authority": exchangeServerName,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const carriage = new ExchangeStream({
      role: "consumer",
      link,
      stream,
      scheduler,
      partial: this.#partial,
      buffers: this.#buffers,
      finish: (error) => {
        if (error === undefined) stream.end();
        else stream.close(constants.NGHTTP2_CANCEL);
      },
      onRefused,
    });
    stream.once("close", onClosed);
    this.#watchStatus(stream, carriage);
    return carriage;
  }

  // A stream that the provider has refused was not given to an exchange there: nothing is known of it.
  #watchStatus(stream: ClientHttp2Stream, carriage: ExchangeStream): void {
    const ended = (rawHeaders: readonly string[], refusal: boolean): void => {
      if (!hasStatus(rawHeaders)) return;
      const { code, details } = statusFromTrailers(rawHeaders);
      if (code === 0) return;
      const reason = errorInfoIn(details)?.reason;
      if (reason === undefined || !isReasonCode(reason)) return;
      this.#o.onRefused(new CausewayError(reason, "the provider has ended a stream"));
      if (refusal) carriage.refusedWith(failedFrame(reason));
    };
    type Listener = (headers: IncomingHttpHeaders, flags: number, raw: string[]) => void;
    const onResponse: Listener = (_headers, _flags, raw) => ended(raw, true);
    const onTrailers: Listener = (_headers, _flags, raw) => ended(raw, false);
    stream.once("response", onResponse);
    stream.once("trailers", onTrailers);
  }

  /** It has no streams for now. */
  rest(): void {
    this.#buffers.clear();
  }

  /** Lets streams that were closed write what is left to them. */
  close(): void {
    const { scheduler } = this.#o;
    const session = this.#session;
    if (session.destroyed) return;
    const cancel = scheduler.after(connectMs, () => session.destroy());
    session.once("close", cancel);
    session.close();
  }
}

function unavailable(cause: Error): CausewayError {
  return new CausewayError("PEER_UNAVAILABLE", "no connection for exchange streams", { cause });
}
