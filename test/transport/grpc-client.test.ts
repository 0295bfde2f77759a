import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Client,
  credentials,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { CausewayError } from "../../src/base/errors.ts";
import { reason, reasonCodes } from "../../src/base/reasons.ts";
import {
  createGrpcClient,
  serverStreamCall,
  unaryCall,
} from "../../src/exchange/transport/grpc-client.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { fromServiceError, toServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import { grpcServerOptions } from "../../src/exchange/transport/grpc-options.ts";
import {
  DivisionService,
  type GetDivisionRequest,
  type GetDivisionResponse,
  GetDivisionResponseSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import {
  type GetBlobRequest,
  type GetBlobResponse,
  GetBlobResponseSchema,
  LedgerService,
} from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { within } from "./support.ts";

type Call = ServerUnaryCall<GetDivisionRequest, GetDivisionResponse>;

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function serve(
  getDivision: (call: Call, done: sendUnaryData<GetDivisionResponse>) => void,
): Promise<number> {
  const server = new Server(grpcServerOptions);
  server.addService(grpcDefinition(DivisionService), { getDivision });
  cleanups.push(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

function get(
  port: number,
  options: Parameters<typeof unaryCall>[3] = {},
): Promise<GetDivisionResponse> {
  const client = createGrpcClient(`127.0.0.1:${port}`, credentials.createInsecure());
  cleanups.push(() => client.close());
  const answer = unaryCall(client, DivisionService.method.getDivision, { code: "3301" }, options);
  return within(3000, "the call", answer);
}

describe("a call of one of our services", () => {
  it("carries generated messages both ways", async () => {
    const port = await serve(({ request }, done) =>
      done(null, create(GetDivisionResponseSchema, { division: { code: request.code } })),
    );
    assert.equal((await get(port)).division?.code, "3301");
  });

  it("rejects with the reason and fields that the handler gave", async () => {
    const port = await serve((_call, done) =>
      done(toServiceError(new CausewayError("LEDGER_BEHIND", "x", { fields: { size: "7" } }))),
    );
    await assert.rejects(get(port), { code: "LEDGER_BEHIND", fields: { size: "7" } });
  });

  it("does not tell what an unexpected error says", async () => {
    const port = await serve((_call, done) => done(toServiceError(new Error("the passphrase"))));
    const error: unknown = await get(port).catch((caught: unknown) => caught);
    assert.ok(error instanceof CausewayError);
    assert.equal(error.code, "INTERNAL");
    assert.doesNotMatch(error.message, /passphrase/);
  });

  it("ends at its deadline and at its signal", async () => {
    const port = await serve(() => {});
    await assert.rejects(get(port, { deadlineMs: Date.now() + 60 }), { code: "DEADLINE" });
    await assert.rejects(get(port, { signal: AbortSignal.timeout(60) }), { code: "CANCELLED" });
    await assert.rejects(get(port, { signal: AbortSignal.abort() }), { code: "CANCELLED" });
  });

  it("names a connection that fails as its caller asks", async () => {
    await assert.rejects(get(1), { code: "PEER_UNAVAILABLE" });
    await assert.rejects(get(1, { unavailable: "LEDGER_UNAVAILABLE" }), {
      code: "LEDGER_UNAVAILABLE",
    });
  });
});

describe("a server-streaming call of one of our services", () => {
  type BlobCall = ServerWritableStream<GetBlobRequest, GetBlobResponse>;

  async function blobs(getBlob: (call: BlobCall) => void): Promise<Client> {
    const server = new Server(grpcServerOptions);
    server.addService(grpcDefinition(LedgerService), { getBlob });
    cleanups.push(() => server.forceShutdown());
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const client = createGrpcClient(`127.0.0.1:${port}`, credentials.createInsecure());
    cleanups.push(() => client.close());
    return client;
  }

  const read = (
    client: Client,
    options: Parameters<typeof serverStreamCall>[3] = {},
  ): AsyncGenerator<GetBlobResponse> =>
    serverStreamCall(client, LedgerService.method.getBlob, {}, options);

  it("gives every message in order, then the server's reason", async () => {
    const client = await blobs((call) => {
      for (let i = 0; i < 500; i++)
        call.write(create(GetBlobResponseSchema, { chunk: Uint8Array.of(i % 251) }));
      call.emit("error", toServiceError(new CausewayError("BLOB_MISSING", "x")));
    });
    const seen: (number | undefined)[] = [];
    const reading = (async () => {
      for await (const { chunk } of read(client)) seen.push(chunk[0]);
    })();
    await assert.rejects(within(3000, "the stream", reading), { code: "BLOB_MISSING" });
    assert.deepEqual(
      seen,
      Array.from({ length: 500 }, (_, i) => i % 251),
    );
  });

  it("is cancelled when its reader stops, and when its signal says so", async () => {
    let cancelled = 0;
    const client = await blobs((call) => {
      call.on("cancelled", () => cancelled++);
      call.write(create(GetBlobResponseSchema, { chunk: Uint8Array.of(1) }));
    });
    for await (const { chunk } of read(client)) {
      assert.equal(chunk[0], 1);
      break;
    }
    const abort = new AbortController();
    const reading = (async () => {
      for await (const _message of read(client, { signal: abort.signal })) abort.abort();
    })();
    await assert.rejects(within(3000, "the stream", reading), { code: "CANCELLED" });
    const both = async (): Promise<void> => {
      while (cancelled < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await within(2000, "both cancellations", both());
    await assert.rejects(read(client, { signal: AbortSignal.abort() }).next(), {
      code: "CANCELLED",
    });
  });
});

describe("our errors as gRPC statuses", () => {
  it("come back with every reason code, under the status of its row", () => {
    for (const code of reasonCodes) {
      const status = toServiceError(new CausewayError(code, "x", { fields: { a: "b" } }));
      assert.equal(status.code, reason(code).grpcCode);
      const back = fromServiceError(status);
      assert.equal(back.code, code);
      assert.deepEqual({ ...back.fields }, { a: "b" });
    }
  });
});
