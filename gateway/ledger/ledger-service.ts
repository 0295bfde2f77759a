/** The gRPC service of a gateway's ledger over grpc-js: `causeway.ledger.v1.LedgerService`. */
import { once } from "node:events";
import type {
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  sendUnaryData,
  ServerWritableStream,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { createMessage } from "../../src/base/create-message.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { concatBytes, emptyBytes, toHex } from "../../src/base/bytes.ts";
import {
  blobBytesMax,
  blobChunkBytesMax,
  followStreamsMax,
  followStreamsPerMemberMax,
  groupBatchesMax,
} from "../../src/base/limits.ts";
import {
  type FollowRequest,
  type FollowResponse,
  type GetBlobRequest,
  type GetBlobResponse,
  GetBlobResponseSchema,
  type PutBlobRequest,
  type PutBlobResponse,
  PutBlobResponseSchema,
  type SubmitRequest,
  type SubmitResponse,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { toServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import type { FollowItem, LedgerHost } from "../../src/ledger/embedded/ports.ts";
import { fromFollowItems, fromSubmitResults, toSealedBatches } from "./ledger-messages.ts";

export interface LedgerServiceOptions {
  readonly host: LedgerHost;
  /**
   * Whether the holder of a client certificate (DER; `undefined` without one) is a member.
   * Heads that are not final yet stay inside the membership.
   */
  readonly isMember: (certificate: Uint8Array | undefined) => boolean;
  /** Told of every error that leaves as INTERNAL. */
  readonly onError?: (error: unknown) => void;
}

/** Handlers for `server.addService(grpcDefinition(LedgerService), …)`. */
export function createLedgerService(options: LedgerServiceOptions): UntypedServiceImplementation {
  const { host } = options;
  const streams = new FollowStreams();
  const statusOf = (error: unknown): ReturnType<typeof toServiceError> => {
    if (!(error instanceof CausewayError)) options.onError?.(error);
    return toServiceError(error);
  };

  const submit: handleUnaryCall<SubmitRequest, SubmitResponse> = (call, callback) => {
    const run = async (): Promise<SubmitResponse> => {
      assertMember(options, call);
      const batches = toSealedBatches(call.request);
      return fromSubmitResults(await Promise.all(batches.map((batch) => host.submit(batch))));
    };
    void respond(run, callback, statusOf);
  };

  // A stream that is destroyed sends no status: a refusal is emitted.
  const follow: handleServerStreamingCall<FollowRequest, FollowResponse> = (call) => {
    void (async () => {
      const close = streams.open(toHex(assertMember(options, call)));
      try {
        await sendItems(host, call);
      } finally {
        close();
      }
    })().then(
      () => call.end(),
      (error: unknown) => call.emit("error", statusOf(error)),
    );
  };

  const putBlob: handleClientStreamingCall<PutBlobRequest, PutBlobResponse> = (call, callback) => {
    const run = async (): Promise<PutBlobResponse> => {
      assertMember(options, call);
      const { sha256, content } = await readBlob(call);
      await host.putBlob(sha256, content);
      return createMessage(PutBlobResponseSchema);
    };
    void respond(run, callback, statusOf);
  };

  const getBlob: handleServerStreamingCall<GetBlobRequest, GetBlobResponse> = (call) => {
    void (async () => {
      assertMember(options, call);
      const content = host.blob(call.request.sha256);
      if (content === undefined) throw new CausewayError("BLOB_MISSING", "there is no such blob");
      for (let at = 0; at === 0 || at < content.length; at += blobChunkBytesMax) {
        const chunk = content.subarray(at, at + blobChunkBytesMax);
        await write(call, createMessage(GetBlobResponseSchema, { chunk }));
      }
    })().then(
      () => call.end(),
      (error: unknown) => call.emit("error", statusOf(error)),
    );
  };

  return { submit, follow, putBlob, getBlob } as unknown as UntypedServiceImplementation;
}

async function respond<Response>(
  run: () => Promise<Response>,
  send: sendUnaryData<Response>,
  statusOf: (error: unknown) => ReturnType<typeof toServiceError>,
): Promise<void> {
  let response: Response;
  try {
    response = await run();
  } catch (error) {
    send(statusOf(error));
    return;
  }
  send(null, response);
}

interface PeerCall {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw?: Uint8Array } };
}

/** Returns what tells the member apart: its certificate. */
function assertMember(options: LedgerServiceOptions, call: unknown): Uint8Array {
  // Looked up for each call: a session outlives the standing of its certificate.
  const certificate = (call as PeerCall).getAuthContext().sslPeerCertificate?.raw;
  if (!options.isMember(certificate)) {
    throw new CausewayError("MEMBER_NOT_ACTIVE", "only members of the network are served");
  }
  return certificate ?? emptyBytes;
}

/** The streams that are served now: no member takes the places of the others. */
class FollowStreams {
  readonly #counts = new Map<string, number>();
  #count = 0;

  /** Returns how to give the place back. Throws BUSY. */
  open(member: string): () => void {
    const own = this.#counts.get(member) ?? 0;
    if (this.#count >= followStreamsMax || own >= followStreamsPerMemberMax) {
      throw new CausewayError(
        "BUSY",
        `at most ${followStreamsMax} streams are served, ${followStreamsPerMemberMax} to a member`,
      );
    }
    this.#count++;
    this.#counts.set(member, own + 1);
    return () => {
      this.#count--;
      const left = (this.#counts.get(member) ?? 1) - 1;
      if (left === 0) this.#counts.delete(member);
      else this.#counts.set(member, left);
    };
  }
}

async function sendItems(
  host: LedgerHost,
  call: ServerWritableStream<FollowRequest, FollowResponse>,
): Promise<void> {
  const stop = new AbortController();
  const onGone = (): void => stop.abort();
  call.once("cancelled", onGone);
  call.once("close", onGone);
  call.once("error", onGone);
  const { fromIndex, fromFinalSize, term } = call.request;
  const items = host.follow({ fromIndex, fromFinalSize, term }, stop.signal);
  try {
    for await (const group of inTurns(items)) {
      for (const message of fromFollowItems(group)) await write(call, message, stop.signal);
    }
  } finally {
    stop.abort();
  }
}

/** What comes in one turn of the event loop, together. */
async function* inTurns(
  items: AsyncIterable<FollowItem>,
): AsyncGenerator<readonly FollowItem[], void, undefined> {
  const source = items[Symbol.asyncIterator]();
  for (let next = source.next(); ; ) {
    const first = await next;
    if (first.done === true) return;
    const group = [first.value];
    const endOfTurn = new Promise<undefined>((resolve) => setImmediate(resolve, undefined));
    next = source.next();
    while (group.length < groupBatchesMax) {
      const more = await Promise.race([next, endOfTurn]);
      if (more === undefined || more.done === true) break;
      group.push(more.value);
      next = source.next();
    }
    yield group;
  }
}

async function write<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  message: Response,
  signal?: AbortSignal,
): Promise<void> {
  if (call.write(message) || signal?.aborted === true) return;
  // A stream that is cancelled never drains; the items end by themselves then.
  await once(call, "drain", signal === undefined ? {} : { signal }).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error;
  });
}

async function readBlob(
  call: AsyncIterable<PutBlobRequest>,
): Promise<{ readonly sha256: Uint8Array; readonly content: Uint8Array }> {
  let sha256: Uint8Array | undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const request of call) {
    sha256 ??= new Uint8Array(request.sha256);
    bytes += request.chunk.length;
    if (request.chunk.length > blobChunkBytesMax || bytes > blobBytesMax) {
      throw new CausewayError(
        "TOO_LARGE",
        `a blob has at most ${blobBytesMax} bytes, a chunk ${blobChunkBytesMax}`,
      );
    }
    chunks.push(request.chunk);
  }
  if (sha256?.length !== 32) {
    throw new CausewayError("MALFORMED", "the first chunk carries the blob's digest");
  }
  return { sha256, content: concatBytes(...chunks) };
}
