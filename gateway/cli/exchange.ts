/** `causeway exchange show` and `list`: what this gateway knows of the exchanges that it was part of. */
import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { openCallToken } from "../../src/credential/call-token.ts";
import { AdminService, type ExchangeRecord } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import {
  type Begin,
  type Call,
  CallStatementSchema,
  DecisionSchema,
  ObligationsSchema,
  type Progress,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  CheckSchema,
  OutcomeSchema,
  RecordSchema,
  type Refusal,
  Side,
  StageSchema,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { type LedgerRecord, openRecord } from "../../src/record/record.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { recordStateRow } from "./carry.ts";
import { integerFlag, timeFlag, withAdmin, withFormat } from "./flags.ts";
import { hexJson } from "./hex-json.ts";
import type { Io } from "./io.ts";
import { childOf } from "./ledger-input.ts";
import { type OutputOptions, type Row, writeRow, writeRows } from "./output.ts";

export interface ExchangeListOptions extends AdminOptions, OutputOptions {
  /** Unix milliseconds. */
  readonly since?: number | undefined;
  readonly service?: string | undefined;
  readonly outcome?: string | undefined;
  readonly limit?: number | undefined;
}

const limitDefault = 20;
/** A long journal may have to be read. */
const readMs = 60_000;

/** Prints the newest attempts that this gateway has on record. */
export async function exchangeList(options: ExchangeListOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const { since = 0, service = "", outcome = "", limit = limitDefault } = options;
    const request = { sinceMs: BigInt(since), service, outcome, limit };
    const { exchanges } = await client.call(AdminService.method.listExchanges, request, readMs);
    const rows = exchanges.map((entry) => ({
      sealed_at: new Date(Number(entry.sealedAt)).toISOString(),
      exchange: exchangeText(entry.xid),
      attempt: entry.attempt,
      side: entry.side,
      peer: entry.peer,
      service: entry.service,
      method: entry.method,
      outcome: entry.outcome,
      segments: entry.segments,
      ...placeOf(entry.state),
    }));
    writeRows(io, rows, { ...options, none: "This gateway has no such exchange on record." });
  });
}

/** Prints the records of both sides of one exchange, without any value that a commitment stands for. */
export async function exchangeShow(
  name: string,
  options: AdminOptions & OutputOptions,
  io: Io,
): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const found = await client.call(AdminService.method.getExchange, { name }, readMs);
    const opened = found.records.map((held) => ({ held, record: openRecord(held.record) }));
    if (options.output === "json") {
      const records = opened.map(({ held, record }) => ({
        ...headOf(held, record),
        body: bodyOf(record),
      }));
      io.write(`${JSON.stringify({ exchange: exchangeText(found.xid), records }, undefined, 2)}\n`);
      return;
    }
    for (const [i, { held, record }] of opened.entries()) {
      if (options.output !== "ndjson" && i > 0) io.write("\n");
      const body = options.output === "ndjson" ? { body: bodyOf(record) } : factsOf(record);
      const row = { exchange: exchangeText(found.xid), ...headOf(held, record), ...body };
      writeRow(io, row, options);
    }
  });
}

/** Empty for what is refused and named no exchange. */
function exchangeText(xid: Uint8Array): string {
  return xid.length === 0 ? "" : formatUuid(xid);
}

function headOf(held: ExchangeRecord, { body }: LedgerRecord): Row {
  return {
    kind: body.case ?? "",
    attempt: held.attempt,
    gateway: held.gateway,
    sealed_at: new Date(Number(held.sealedAt)).toISOString(),
    ...placeOf(held.state),
  };
}

function placeOf(state: ExchangeRecord["state"]): Row {
  const { effect: _, ...place } = recordStateRow(state);
  return place;
}

/** A record whole, with what it holds encoded read out: call statement and token. */
function bodyOf(record: LedgerRecord): Readonly<Record<string, unknown>> {
  const call = callOf(record);
  const json = toJson(RecordSchema, record) as Readonly<Record<string, unknown>>;
  if (call === undefined) return json;
  const statement = toJson(CallStatementSchema, openCallStatement(call.statement));
  return { ...json, callStatement: statement, tokenIssuer: issuerOf(call) };
}

function callOf({ body }: LedgerRecord): Call | undefined {
  switch (body.case) {
    case "opened":
      return body.value.begin?.call;
    case "receipt":
      return body.value.start.case === "begin" ? body.value.start.value.call : undefined;
    case "refusal":
      return body.value.call;
    default:
      return undefined;
  }
}

function issuerOf({ token }: Call): string {
  try {
    return openCallToken(token).claims.iss;
  } catch (error) {
    if (error instanceof CausewayError) return "";
    throw error;
  }
}

/** What people look for in a record. */
function factsOf(record: LedgerRecord): Row {
  const { body } = record;
  switch (body.case) {
    case "opened":
      return beginRow(body.value.begin);
    case "receipt":
      return {
        ...(body.value.start.case === "begin" ? beginRow(body.value.start.value) : {}),
        ...progressRow(body.value.progress),
        ...(body.value.status === undefined ? {} : { grpc_code: body.value.status.grpcCode }),
        final: body.value.final,
      };
    case "acknowledgement":
      return {
        ...progressRow(body.value.progress),
        check: CheckSchema.value[body.value.check]?.localName ?? "",
        receipt: handleText(body.value.receipt),
        caller_system: body.value.callerSystem,
        final: body.value.final,
      };
    case "refusal":
      return refusalRow(body.value);
    case "closed":
      return {
        outcome: OutcomeSchema.value[body.value.outcome]?.localName ?? "",
        reason: body.value.status?.reason ?? "",
        upstream_called: body.value.upstreamCalled,
        refusal: handleText(body.value.refusal),
        next_attempt: body.value.nextAttempt,
      };
    case "receiptMissing":
      return { since: new Date(Number(body.value.since)).toISOString() };
    default:
      return {};
  }
}

function refusalRow(refusal: Refusal): Row {
  const { aggregate, call, caller, decision, grpcCode, method, reason, stage } = refusal;
  return {
    side: refusal.side === Side.CONSUMER ? "consumer" : "provider",
    ...(caller.case === "peer" ? { peer: caller.value.gateway } : {}),
    ...(caller.case === "system" ? { caller_system: caller.value.id } : {}),
    ...(call === undefined ? { method } : callRow(call)),
    ...decisionRow(decision),
    stage: StageSchema.value[stage]?.localName ?? "",
    reason,
    grpc_code: grpcCode,
    upstream_called: refusal.upstreamCalled,
    ...(aggregate === undefined ? {} : { calls: String(aggregate.count) }),
  };
}

function beginRow(begin: Begin | undefined): Row {
  if (begin === undefined) return {};
  const { obligations } = begin;
  return {
    ...callRow(begin.call),
    ...decisionRow(begin.decision),
    ...(obligations === undefined ? {} : { obligations: hexJson(ObligationsSchema, obligations) }),
  };
}

function callRow(call: Call | undefined): Row {
  if (call === undefined) return {};
  const { service, method, purpose, grant, open } = openCallStatement(call.statement);
  return {
    consumer: issuerOf(call),
    service,
    method,
    purpose,
    grant: grant === undefined ? "" : `${grant.index}/${grant.position}`,
    request: open ? "a stream" : "one message",
  };
}

function decisionRow(decision: Begin["decision"]): Row {
  return decision === undefined ? {} : { decision: hexJson(DecisionSchema, decision) };
}

function progressRow(progress: Progress | undefined): Row {
  if (progress === undefined) return {};
  const { segment, framesFirst, framesEnd, messages, bytesBucket, requestFrames } = progress;
  return {
    segment,
    frames: `${framesFirst} to ${framesEnd}`,
    messages: String(messages),
    bytes: bytesBucket === 0 ? "0" : `less than ${2n ** BigInt(bytesBucket)}`,
    request_frames: String(requestFrames),
  };
}

function handleText(handle: { leafHash: Uint8Array; position: number } | undefined): string {
  return handle === undefined ? "" : formatHandle(handle.leafHash, handle.position);
}

export function registerExchange(program: Command, io: Io): void {
  const exchange = childOf(program, "exchange", "the exchanges that this gateway was part of");
  withFormat(
    withAdmin(
      exchange
        .command("list")
        .description("list the newest exchanges of this gateway, one line for each attempt")
        .option("--since <time>", "whose newest record was sealed then or later", timeFlag)
        .option("--service <id>", "of one data service")
        .option("--outcome <name>", "with one outcome, such as OK, MATCH, NO_ANSWER or a reason")
        .option("--limit <n>", "at most so many", integerFlag(1, 1000), limitDefault),
    ),
  ).action((options: ExchangeListOptions) => exchangeList(options, io));
  withFormat(
    withAdmin(
      exchange
        .command("show")
        .description("show the records of both sides of one exchange that this gateway knows")
        .argument("<name>", "id of the exchange, or handle <leaf hash>/<position> of a record"),
    ),
  ).action((name: string, options: AdminOptions & OutputOptions) =>
    exchangeShow(name, options, io),
  );
}
