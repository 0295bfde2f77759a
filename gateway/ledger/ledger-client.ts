/** A member's side of `causeway.ledger.v1.LedgerService` over grpc-js, pinned to the other's TLS key. */
import { create } from "@bufbuild/protobuf";
import { type Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { concatBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { blobBytesMax, blobChunkBytesMax } from "../../src/base/limits.ts";
import {
  createGrpcClient,
  type GrpcCallOptions,
  serverStreamCall,
  unaryCall,
} from "../../src/exchange/transport/grpc-client.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { fromServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import { LedgerService, PutBlobRequestSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type {
  FollowListener,
  FollowStart,
  FollowStream,
  LedgerClient,
} from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";
import { acceptExactly, certificatePem, pinCertificate } from "../tls.ts";
import { BatchGroups } from "./batch-groups.ts";
import { toFollowItems, toSubmitResults } from "./ledger-messages.ts";

export interface TlsIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
}

export interface LedgerClientOptions {
  /** Peer listener of the other gateway, `host:port`. */
  readonly address: string;
  /** SHA-256 of its TLS key's SPKI DER, lower-case hex; or of each of those that it may show. */
  readonly tls: string | readonly string[];
  /** The own TLS key and certificate in PEM, asked for at each connection; a joining member has none yet. */
  readonly identity?: TlsIdentity | (() => TlsIdentity);
  /** For each call but `follow`; 30 s unless told. */
  readonly callTimeoutMs?: number;
}

/** Connects when first used. The certificate is learnt and pinned again after each lost connection. */
export function createLedgerClient(options: LedgerClientOptions): LedgerClient {
  return new GrpcLedgerClient(options);
}

const unavailable = { unavailable: "LEDGER_UNAVAILABLE" } as const;
// The certificate is pinned and carries no host name; an address of digits must not be sent as one.
const serverName = "ledger.causeway";
const putBlobDefinition = grpcDefinition(LedgerService)["putBlob"];

class GrpcLedgerClient implements LedgerClient {
  readonly #options: LedgerClientOptions;
  readonly #submitted: BatchGroups<SubmitResult> = new BatchGroups((batches) =>
    this.#submit(batches),
  );
  #client: Promise<Client> | undefined;
  #isClosed = false;

  constructor(options: LedgerClientOptions) {
    this.#options = options;
  }

  submit(batch: SealedBatch): Promise<SubmitResult> {
    return this.#submitted.add(batch);
  }

  async putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void> {
    const client = await this.#connected();
    await this.#answered(putBlob(client, { sha256, content }, this.#call()));
  }

  async getBlob(sha256: Uint8Array): Promise<Uint8Array> {
    const client = await this.#connected();
    return this.#answered(readBlob(client, sha256, this.#call()));
  }

  follow(start: FollowStart, listener: FollowListener): FollowStream {
    const stream = new Following();
    void this.#follow(start, listener, stream);
    return stream;
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  async #submit(batches: readonly SealedBatch[]): Promise<readonly SubmitResult[]> {
    const request = {
      batches: batches.map(({ leaf, records }) => ({ leaf, records: [...records] })),
    };
    const client = await this.#connected();
    const call = unaryCall(client, LedgerService.method.submit, request, this.#call());
    return toSubmitResults(await this.#answered(call), batches.length);
  }

  async #follow(start: FollowStart, listener: FollowListener, stream: Following): Promise<void> {
    const { signal } = stream;
    try {
      const client = await this.#connected();
      const options = { signal, ...unavailable };
      const { follow } = LedgerService.method;
      for await (const response of serverStreamCall(client, follow, { ...start }, options)) {
        if (signal.aborted) return;
        const items = toFollowItems(response);
        for (const [i, item] of items.entries()) listener.onItem(item, i < items.length - 1);
        await stream.whenRunning();
      }
    } catch (error) {
      if (!signal.aborted && !(error instanceof CausewayError)) throw error;
    } finally {
      if (!signal.aborted) {
        this.#drop();
        listener.onEnd();
      }
    }
  }

  #call(): GrpcCallOptions {
    return { deadlineMs: Date.now() + (this.#options.callTimeoutMs ?? 30_000), ...unavailable };
  }

  /** Without an answer the connection is given up: the sequencer may be back with another certificate. */
  async #answered<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      const code = error instanceof CausewayError ? error.code : undefined;
      if (code === "LEDGER_UNAVAILABLE" || code === "DEADLINE") this.#drop();
      if (code !== "DEADLINE") throw error;
      throw new CausewayError("LEDGER_UNAVAILABLE", "no answer in time", { cause: error });
    }
  }

  #connected(): Promise<Client> {
    if (this.#isClosed) {
      return Promise.reject(new CausewayError("SHUTTING_DOWN", "the client is closed"));
    }
    if (this.#client === undefined) {
      const connecting = this.#connect();
      this.#client = connecting;
      connecting.catch(() => {
        if (this.#client === connecting) this.#client = undefined;
      });
    }
    return this.#client;
  }

  async #connect(): Promise<Client> {
    const { address, tls } = this.#options;
    const given = this.#options.identity;
    const identity = typeof given === "function" ? given() : given;
    const pinned = await pinCertificate(address, tls);
    if (this.#isClosed) throw new CausewayError("SHUTTING_DOWN", "the client is closed");
    const secure = credentials.createSsl(
      Buffer.from(certificatePem(pinned)),
      identity === undefined ? null : Buffer.from(identity.keyPem),
      identity === undefined ? null : Buffer.from(identity.certificatePem),
      { checkServerIdentity: acceptExactly([pinned]) },
    );
    return createGrpcClient(address, secure, { "grpc.ssl_target_name_override": serverName });
  }

  #drop(): void {
    void this.#client?.then(
      (client) => client.close(),
      () => undefined,
    );
    this.#client = undefined;
  }
}

async function readBlob(
  client: Client,
  sha256: Uint8Array,
  options: GrpcCallOptions,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const { getBlob } = LedgerService.method;
  for await (const { chunk } of serverStreamCall(client, getBlob, { sha256 }, options)) {
    bytes += chunk.length;
    if (bytes > blobBytesMax) {
      throw new CausewayError("TOO_LARGE", `a blob has at most ${blobBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return concatBytes(...chunks);
}

function putBlob(
  client: Client,
  { sha256, content }: { readonly sha256: Uint8Array; readonly content: Uint8Array },
  { deadlineMs }: GrpcCallOptions,
): Promise<void> {
  if (putBlobDefinition === undefined) throw new TypeError("the service has no method putBlob");
  const { path, requestSerialize, responseDeserialize } = putBlobDefinition;
  return new Promise((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
      deadlineMs === undefined ? {} : { deadline: deadlineMs },
      (error: ServiceError | null) => {
        if (error === null) resolve();
        else reject(fromServiceError(error, unavailable.unavailable));
      },
    );
    for (let at = 0; at === 0 || at < content.length; at += blobChunkBytesMax) {
      const chunk = content.subarray(at, at + blobChunkBytesMax);
      call.write(create(PutBlobRequestSchema, { ...(at === 0 ? { sha256 } : {}), chunk }));
    }
    call.end();
  });
}

/** One follow stream, which may be paused or given up before its connection stands. */
class Following implements FollowStream {
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #run: () => void = () => undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  whenRunning(): Promise<void> | undefined {
    return this.#running;
  }

  pause(): void {
    this.#running ??= new Promise((resolve) => {
      this.#run = resolve;
    });
  }

  resume(): void {
    this.#run();
    this.#running = undefined;
  }

  cancel(): void {
    this.#abort.abort();
    this.resume();
  }
}
