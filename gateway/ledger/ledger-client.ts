/** A member's side of `causeway.ledger.v1.LedgerService` over grpc-js, pinned to the sequencer's TLS key. */
import {
  type ChannelOptions,
  type Client,
  type ClientReadableStream,
  type ClientWritableStream,
  credentials,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { concatBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { blobBytesMax, blobChunkBytesMax } from "../../src/base/limits.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import {
  type FollowRequest,
  FollowRequestSchema,
  type FollowResponse,
  type GetBlobRequest,
  GetBlobRequestSchema,
  type GetBlobResponse,
  LedgerService,
  type PutBlobRequest,
  PutBlobRequestSchema,
  type PutBlobResponse,
  type SubmitRequest,
  SubmitRequestSchema,
  type SubmitResponse,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type {
  FollowListener,
  FollowStart,
  FollowStream,
  LedgerClient,
} from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";
import { acceptOnly, certificatePem, pinCertificate } from "../tls.ts";
import { ledgerError } from "./grpc-status.ts";
import { toFollowItem, toSubmitResult } from "./ledger-messages.ts";

export interface LedgerClientOptions {
  /** Peer listener of the sequencer, `host:port`. */
  readonly address: string;
  /** SHA-256 of its TLS key's SPKI DER, lower-case hex. */
  readonly tls: string;
  /** The own TLS key and certificate in PEM; a joining member has none yet. */
  readonly identity?: { readonly keyPem: string; readonly certificatePem: string };
  /** For each call but `follow`; 30 s unless told. */
  readonly callTimeoutMs?: number;
}

type Callback<Response> = (error: ServiceError | null, response?: Response) => void;

/** The stub that grpc-js makes of the definition. */
interface Stub extends Client {
  submit(
    request: SubmitRequest,
    options: { deadline: number },
    callback: Callback<SubmitResponse>,
  ): unknown;
  follow(request: FollowRequest): ClientReadableStream<FollowResponse>;
  putBlob(
    options: { deadline: number },
    callback: Callback<PutBlobResponse>,
  ): ClientWritableStream<PutBlobRequest>;
  getBlob(
    request: GetBlobRequest,
    options: { deadline: number },
  ): ClientReadableStream<GetBlobResponse>;
}

const LedgerStub = makeGenericClientConstructor(grpcDefinition(LedgerService), "LedgerService");

const channelOptions: ChannelOptions = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.enable_retries": 0,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 200,
};

/** Connects when first used. The certificate is learnt and pinned again after each lost connection. */
export function createLedgerClient(options: LedgerClientOptions): LedgerClient {
  return new GrpcLedgerClient(options);
}

class GrpcLedgerClient implements LedgerClient {
  readonly #options: LedgerClientOptions;
  #stub: Promise<Stub> | undefined;
  #isClosed = false;

  constructor(options: LedgerClientOptions) {
    this.#options = options;
  }

  submit(batch: SealedBatch): Promise<SubmitResult> {
    const request = create(SubmitRequestSchema, {
      batch: { leaf: batch.leaf, records: [...batch.records] },
    });
    return this.#call(async (stub) => {
      const response = await new Promise<SubmitResponse>((resolve, reject) => {
        stub.submit(request, this.#deadline(), settle(resolve, reject));
      });
      return toSubmitResult(response);
    });
  }

  putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void> {
    return this.#call(async (stub) => {
      await new Promise<PutBlobResponse>((resolve, reject) => {
        const call = stub.putBlob(this.#deadline(), settle(resolve, reject));
        // The failure is the callback's to tell.
        call.on("error", () => undefined);
        for (let at = 0; at === 0 || at < content.length; at += blobChunkBytesMax) {
          const chunk = content.subarray(at, at + blobChunkBytesMax);
          call.write(create(PutBlobRequestSchema, { ...(at === 0 ? { sha256 } : {}), chunk }));
        }
        call.end();
      });
    });
  }

  getBlob(sha256: Uint8Array): Promise<Uint8Array> {
    return this.#call(async (stub) => {
      const call = stub.getBlob(create(GetBlobRequestSchema, { sha256 }), this.#deadline());
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const { chunk } of call as AsyncIterable<GetBlobResponse>) {
        bytes += chunk.length;
        if (bytes > blobBytesMax) {
          call.cancel();
          throw new CausewayError("TOO_LARGE", `a blob has at most ${blobBytesMax} bytes`);
        }
        chunks.push(chunk);
      }
      return concatBytes(...chunks);
    });
  }

  follow(start: FollowStart, listener: FollowListener): FollowStream {
    const stream = new Following(listener);
    void this.#connected().then(
      (stub) => stream.attach(stub.follow(create(FollowRequestSchema, { ...start }))),
      () => stream.end(),
    );
    stream.onEnded(() => this.#drop());
    return stream;
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  async #call<T>(run: (stub: Stub) => Promise<T>): Promise<T> {
    try {
      return await run(await this.#connected());
    } catch (error) {
      throw ledgerError(error);
    }
  }

  #deadline(): { deadline: number } {
    return { deadline: Date.now() + (this.#options.callTimeoutMs ?? 30_000) };
  }

  #connected(): Promise<Stub> {
    if (this.#isClosed) {
      return Promise.reject(new CausewayError("SHUTTING_DOWN", "the client is closed"));
    }
    if (this.#stub === undefined) {
      const connecting = this.#connect();
      this.#stub = connecting;
      connecting.catch(() => {
        if (this.#stub === connecting) this.#stub = undefined;
      });
    }
    return this.#stub;
  }

  async #connect(): Promise<Stub> {
    const { address, tls, identity } = this.#options;
    const pinned = await pinCertificate(address, tls);
    const secure = credentials.createSsl(
      Buffer.from(certificatePem(pinned)),
      identity === undefined ? null : Buffer.from(identity.keyPem),
      identity === undefined ? null : Buffer.from(identity.certificatePem),
      { checkServerIdentity: acceptOnly(pinned) },
    );
    if (this.#isClosed) throw new CausewayError("SHUTTING_DOWN", "the client is closed");
    return new LedgerStub(address, secure, channelOptions) as unknown as Stub;
  }

  #drop(): void {
    void this.#stub?.then(
      (stub) => stub.close(),
      () => undefined,
    );
    this.#stub = undefined;
  }
}

function settle<T>(resolve: (value: T) => void, reject: (error: unknown) => void): Callback<T> {
  return (error, response) => {
    if (error !== null) reject(error);
    else if (response === undefined) reject(new CausewayError("MALFORMED", "an empty answer"));
    else resolve(response);
  };
}

/** One follow stream, which may be paused or given up before its connection stands. */
class Following implements FollowStream {
  readonly #listener: FollowListener;
  #call: ClientReadableStream<FollowResponse> | undefined;
  #isPaused = false;
  #isEnded = false;
  #ended: () => void = () => undefined;

  constructor(listener: FollowListener) {
    this.#listener = listener;
  }

  onEnded(ended: () => void): void {
    this.#ended = ended;
  }

  attach(call: ClientReadableStream<FollowResponse>): void {
    if (this.#isEnded) {
      call.on("error", () => undefined);
      call.cancel();
      return;
    }
    this.#call = call;
    call.on("data", (response: FollowResponse) => this.#take(response));
    call.on("error", () => this.end());
    call.on("end", () => this.end());
    if (this.#isPaused) call.pause();
  }

  #take(response: FollowResponse): void {
    if (this.#isEnded) return;
    try {
      this.#listener.onItem(toFollowItem(response));
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.#call?.cancel();
      this.end();
    }
  }

  pause(): void {
    this.#isPaused = true;
    this.#call?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#call?.resume();
  }

  cancel(): void {
    this.#isEnded = true;
    this.#call?.cancel();
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#ended();
    this.#listener.onEnd();
  }
}
