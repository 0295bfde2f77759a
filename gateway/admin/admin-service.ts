/** The gRPC service behind the administrator's command line: `causeway.admin.v1.AdminService`. */
import { isAbsolute } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { blobBytesMax, blobChunkBytesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import {
  type CopyLedgerRequest,
  CopyLedgerResponseSchema,
  type GetBlobRequest,
  GetBlobResponseSchema,
  type GetRecordRequest,
  type EraseOpeningsRequest,
  type GetExchangeRequest,
  type GetOpeningsRequest,
  type GetStatusResponse,
  ListAccessRequestsResponseSchema,
  type ListExchangesRequest,
  ListExchangesResponseSchema,
  ListGrantsResponseSchema,
  type ListRecordsRequest,
  ListRecordsResponseSchema,
  ListServicesResponseSchema,
  type OpenTermRequest,
  type PromiseTermRequest,
  type PutBlobRequest,
  PutBlobResponseSchema,
  ReloadConfigResponseSchema,
  type SubmitStatementRequest,
  SubmitStatementResponseSchema,
} from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import type { Engine } from "../../src/ledger/ports.ts";
import { toServiceError } from "../../src/exchange/transport/grpc-errors.ts";
import type { ReloadAnswer } from "../reload.ts";
import { type AppointmentPorts, openTerm, promiseTerm } from "./appointments.ts";
import { grantEntry, requestEntry, serviceEntry } from "./catalogue.ts";
import { findExchange } from "./find-exchange.ts";
import { sendLedger } from "./follow-ledger.ts";
import { listExchanges } from "./list-exchanges.ts";
import { eraseOpenings, getOpenings, type OpeningsPorts } from "./openings.ts";
import { getRecord, listRecords, recordState, type RecordPorts } from "./records.ts";
import { type StatementPorts, submitStatement } from "./submit-statement.ts";

export interface AdminPorts extends StatementPorts, RecordPorts, OpeningsPorts {
  readonly engine: Engine;
  status(): GetStatusResponse;
  readonly appointments: AppointmentPorts;
  /** Copies the replica to a new file. */
  copyLedger(path: string): Promise<void>;
  /** Puts the configuration in force as it stands in its file now. */
  reload(): Promise<ReloadAnswer>;
  onError(error: unknown): void;
}

const recordsListedMax = 1000;
const waitMsMax = 120_000;

type Callback = (error: unknown, response?: unknown) => void;

/** A unary handler of grpc-js from a function; errors become statuses in one place. */
function unary<Request>(ports: AdminPorts, answer: (request: Request) => unknown): unknown {
  return (call: { readonly request: Request }, callback: Callback): void => {
    void (async () => answer(call.request))().then(
      (response) => callback(null, response),
      (error: unknown) => {
        if (!(error instanceof CausewayError)) ports.onError(error);
        callback(toServiceError(error));
      },
    );
  };
}

async function readBlob(chunks: AsyncIterable<PutBlobRequest>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let digest: Uint8Array | undefined;
  let bytes = 0;
  for await (const { sha256: named, chunk } of chunks) {
    digest ??= named;
    bytes += chunk.length;
    if (bytes > blobBytesMax) {
      throw new CausewayError("TOO_LARGE", `a blob has at most ${blobBytesMax} bytes`);
    }
    parts.push(chunk);
  }
  const content = concatBytes(...parts);
  if (digest === undefined || !equalBytes(sha256(content), digest)) {
    throw new CausewayError("BLOB_MISMATCH", "the blob does not have the digest that it came with");
  }
  return content;
}

/** Handlers for `server.addService(grpcDefinition(AdminService), …)`. */
export function createAdminService(ports: AdminPorts): UntypedServiceImplementation {
  const { replica } = ports;
  return {
    getStatus: unary(ports, () => ports.status()),
    submitStatement: unary(ports, async ({ jws, waitMs }: SubmitStatementRequest) => {
      const wait = Math.min(Number(waitMs), waitMsMax);
      const { sealed } = await submitStatement(jws, wait, ports);
      const state = recordState(sealed.leafHash, sealed.position, replica);
      return create(SubmitStatementResponseSchema, { state });
    }),
    putBlob: (call: AsyncIterable<PutBlobRequest>, callback: Callback): void => {
      readBlob(call)
        .then((content) => ports.engine.putBlob(content))
        .then(
          () => callback(null, create(PutBlobResponseSchema)),
          (error: unknown) => callback(toServiceError(error)),
        );
    },
    getBlob: unary(ports, ({ sha256: digest, offset }: GetBlobRequest) => {
      const content = replica.blob(digest);
      if (content === undefined) throw new CausewayError("BLOB_MISSING", "no such blob is here");
      const chunk = content.subarray(offset, offset + blobChunkBytesMax);
      return create(GetBlobResponseSchema, { chunk });
    }),
    listServices: unary(ports, () => {
      const view = replica.view();
      const services = view.services().map((service) => serviceEntry(service, view));
      return create(ListServicesResponseSchema, { services });
    }),
    listAccessRequests: unary(ports, () => {
      const accessRequests = replica.view().requests().map(requestEntry);
      return create(ListAccessRequestsResponseSchema, { accessRequests });
    }),
    listGrants: unary(ports, () => {
      const nowS = Math.floor(ports.clock.nowMs() / 1000);
      const grants = replica
        .view()
        .grants()
        .map((grant) => grantEntry(grant, nowS));
      return create(ListGrantsResponseSchema, { grants });
    }),
    followLedger: (call: Parameters<typeof sendLedger>[0]): void => {
      sendLedger(call, replica).then(
        () => call.end(),
        (error: unknown) => {
          ports.onError(error);
          call.destroy(toServiceError(error) as Error);
        },
      );
    },
    reloadConfig: unary(ports, async () => {
      const { taken, left } = await ports.reload();
      return create(ReloadConfigResponseSchema, { taken: [...taken], left: [...left] });
    }),
    copyLedger: unary(ports, async ({ path }: CopyLedgerRequest) => {
      if (!isAbsolute(path)) throw new CausewayError("CONFIG_INVALID", "the path is not absolute");
      await ports.copyLedger(path);
      return create(CopyLedgerResponseSchema);
    }),
    promiseTerm: unary(ports, (request: PromiseTermRequest) =>
      promiseTerm(request, ports.appointments),
    ),
    openTerm: unary(ports, (request: OpenTermRequest) =>
      openTerm(request, ports.appointments, waitMsMax),
    ),
    listExchanges: unary(ports, async (request: ListExchangesRequest) => {
      const limit = Math.min(request.limit || 20, recordsListedMax);
      const exchanges = await listExchanges(request, limit, ports);
      return create(ListExchangesResponseSchema, { exchanges: [...exchanges] });
    }),
    getExchange: unary(ports, ({ name }: GetExchangeRequest) => findExchange(name, ports)),
    getOpenings: unary(ports, (request: GetOpeningsRequest) => getOpenings(request, ports)),
    eraseOpenings: unary(ports, (request: EraseOpeningsRequest) => eraseOpenings(request, ports)),
    getRecord: unary(ports, ({ name }: GetRecordRequest) => getRecord(name, ports)),
    listRecords: unary(ports, ({ limit }: ListRecordsRequest) => {
      const records = listRecords(Math.min(limit || 20, recordsListedMax), ports);
      return create(ListRecordsResponseSchema, { records });
    }),
  } as unknown as UntypedServiceImplementation;
}
