/** Calls of the own gateway's admin service over its Unix socket. */
import { resolve } from "node:path";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { type Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { blobBytesMax, blobChunkBytesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { openStatement } from "../../src/credential/statement.ts";
import type { StatementBodies, StatementName } from "../../src/credential/statements.ts";
import {
  createGrpcClient,
  serverStreamCall,
  unaryCall,
} from "../../src/exchange/transport/grpc-client.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { fromServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import {
  AdminService,
  type FollowLedgerRequestSchema,
  type FollowLedgerResponse,
  PutBlobRequestSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { openRecord } from "../../src/record/record.ts";
import type { Io } from "./io.ts";

export interface AdminOptions {
  /** Path of the admin socket. */
  readonly admin: string;
}

const callMs = 30_000;
const unavailable = "GATEWAY_UNAVAILABLE";
const putBlobDefinition = grpcDefinition(AdminService)["putBlob"];

/** The admin service of one gateway. Its functions reject with the server's reason, or GATEWAY_UNAVAILABLE. */
export interface AdminClient {
  /** `extraMs` is time that the server may take beyond that of a plain call. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    extraMs?: number,
  ): Promise<MessageShape<O>>;
  putBlob(content: Uint8Array): Promise<void>;
  /** A published blob by its SHA-256. Rejects with BLOB_MISSING, or BLOB_MISMATCH. */
  getBlob(digest: Uint8Array): Promise<Uint8Array>;
}

/** Runs `work` with a connection, which is closed afterwards. */
export async function withAdminClient<T>(
  { admin }: AdminOptions,
  io: Pick<Io, "clock">,
  work: (client: AdminClient) => Promise<T>,
): Promise<T> {
  const client = createGrpcClient(`unix:${resolve(admin)}`, credentials.createInsecure());
  const deadlineMs = (extraMs: number): number => io.clock.nowMs() + callMs + extraMs;
  const call: AdminClient["call"] = (method, request, extraMs = 0) =>
    unaryCall(client, method, request, {
      deadlineMs: deadlineMs(extraMs),
      unavailable,
    }).catch((error: unknown) => {
      throw reached(error, admin);
    });
  try {
    return await work({
      call,
      putBlob: (content) => putBlob(client, content, deadlineMs(0)),
      getBlob: (digest) => getBlob(call, digest),
    });
  } finally {
    client.close();
  }
}

/** The transport's own words for a socket that nobody listens on say nothing to people. */
function reached(error: unknown, admin: string): unknown {
  if (!(error instanceof CausewayError) || error.code !== unavailable) return error;
  return new CausewayError(unavailable, `no gateway answers at ${admin}`, { cause: error });
}

/** What the own gateway tells of the ledger as it grows. */
export type LedgerEvent = Exclude<FollowLedgerResponse["event"], { readonly case: undefined }>;

/**
 * Follows the own gateway's replica until `take` returns `false`. Rejects as `AdminClient` does, also when
 * the gateway ends.
 */
export async function followLedger(
  { admin }: AdminOptions,
  request: MessageInitShape<typeof FollowLedgerRequestSchema>,
  take: (event: LedgerEvent) => Promise<boolean>,
): Promise<void> {
  const client = createGrpcClient(`unix:${resolve(admin)}`, credentials.createInsecure());
  const { followLedger: method } = AdminService.method;
  try {
    for await (const { event } of serverStreamCall(client, method, request, { unavailable })) {
      if (event.case !== undefined && !(await take(event))) return;
    }
    throw new CausewayError(unavailable, "the gateway has ended the stream");
  } finally {
    client.close();
  }
}

async function getBlob(call: AdminClient["call"], digest: Uint8Array): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (;;) {
    const { chunk } = await call(AdminService.method.getBlob, { sha256: digest, offset });
    chunks.push(chunk);
    offset += chunk.length;
    if (chunk.length < blobChunkBytesMax || offset > blobBytesMax) break;
  }
  const content = concatBytes(...chunks);
  if (equalBytes(sha256(content), digest)) return content;
  throw new CausewayError("BLOB_MISMATCH", "the gateway's blob does not have its digest");
}

function putBlob(client: Client, content: Uint8Array, deadline: number): Promise<void> {
  if (putBlobDefinition === undefined) throw new TypeError("the service has no method putBlob");
  const { path, requestSerialize, responseDeserialize } = putBlobDefinition;
  return new Promise((done, reject) => {
    const call = client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
      { deadline },
      (error: ServiceError | null) => {
        if (error === null) done();
        else reject(fromServiceError(error, unavailable));
      },
    );
    for (let at = 0; at === 0 || at < content.length; at += blobChunkBytesMax) {
      const chunk = content.subarray(at, at + blobChunkBytesMax);
      const named = at === 0 ? { sha256: sha256(content) } : {};
      call.write(create(PutBlobRequestSchema, { ...named, chunk }));
    }
    call.end();
  });
}

/** The body of the statement that stands at `address`, `<index>/<position>`. Throws RECORD_UNKNOWN. */
export async function readStatementAt<N extends StatementName>(
  client: AdminClient,
  address: string,
  name: N,
): Promise<StatementBodies[N]> {
  const { record } = await client.call(AdminService.method.getRecord, { name: address });
  const { body } = openRecord(record);
  const opened = body.case === "statement" ? openStatement(body.value.jws) : undefined;
  if (opened?.statement.name !== name) {
    throw new CausewayError("RECORD_UNKNOWN", `at ${address} stands no ${name} statement`);
  }
  return opened.statement.body as StatementBodies[N];
}
