/** The admin service of a gateway under test, over its Unix socket. */
import { type Client, credentials } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { createGrpcClient, unaryCall } from "../../src/exchange/transport/grpc-client.ts";
import { grpcDefinition } from "../../src/exchange/transport/grpc-definition.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  AdminService,
  type GetStatusResponse,
  PutBlobRequestSchema,
  type RecordEntry,
  type RecordState,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { Member } from "./two-cities.ts";

export interface AdminClient {
  status(): Promise<GetStatusResponse>;
  /** Resolves when the statement is final. */
  submit(jws: readonly string[], waitMs?: number): Promise<RecordState>;
  putBlob(content: Uint8Array): Promise<void>;
  records(limit?: number): Promise<readonly RecordEntry[]>;
  /** Erases the openings of all exchanges before a Unix time in milliseconds; of how many attempts there were any. */
  eraseOpenings(beforeMs: number): Promise<bigint>;
  close(): void;
}

export function adminClient(member: Pick<Member, "addresses">): AdminClient {
  const client: Client = createGrpcClient(
    `unix:${member.addresses.admin}`,
    credentials.createInsecure(),
  );
  const { method } = AdminService;
  const deadline = (ms: number): { deadlineMs: number } => ({ deadlineMs: Date.now() + ms });
  return {
    status: () => unaryCall(client, method.getStatus, {}, deadline(5_000)),
    submit: async (jws, waitMs = 20_000) => {
      const request = { jws: [...jws], waitMs: BigInt(waitMs) };
      const { state } = await unaryCall(
        client,
        method.submitStatement,
        request,
        deadline(waitMs + 5_000),
      );
      if (state === undefined) throw new Error("no state");
      return state;
    },
    putBlob: (content) =>
      new Promise((resolve, reject) => {
        const definition = grpcDefinition(AdminService)["putBlob"];
        if (definition === undefined) throw new Error("no such method");
        const call = client.makeClientStreamRequest(
          definition.path,
          definition.requestSerialize,
          definition.responseDeserialize,
          (error: Error | null) => (error === null ? resolve() : reject(error)),
        );
        call.write(create(PutBlobRequestSchema, { sha256: sha256(content), chunk: content }));
        call.end();
      }),
    records: async (limit = 100) => {
      const { records } = await unaryCall(client, method.listRecords, { limit }, deadline(5_000));
      return records;
    },
    eraseOpenings: async (beforeMs) => {
      const what = { case: "beforeMs" as const, value: BigInt(beforeMs) };
      const { count } = await unaryCall(client, method.eraseOpenings, { what }, deadline(5_000));
      return count;
    },
    close: () => client.close(),
  };
}

/** Waits until a condition holds; fails with what it was after `timeoutMs`. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs: number = 20_000,
): Promise<void> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    try {
      if (await holds()) return;
    } catch (error) {
      if (Date.now() > untilMs) throw error;
    }
    if (Date.now() > untilMs) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
