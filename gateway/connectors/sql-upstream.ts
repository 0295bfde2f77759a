/** Answers the methods of a data service from a database: one read-only query for each. */
import { create } from "@bufbuild/protobuf";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { timerMsMax } from "../../src/base/limits.ts";
import type {
  UnaryAnswer,
  UpstreamCall,
  UpstreamConnector,
} from "../../src/exchange/transport/ports.ts";
import { plainStatus } from "../../src/exchange/transport/trailers.ts";
import { MetadataSchema, type StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { Json } from "../transcoding/field-path.ts";
import type { ServiceDescriptors } from "../transcoding/service-descriptors.ts";
import { type AnswerSink, openFailed, openOneRequest } from "./one-request.ts";
import { OpenCalls } from "./open-calls.ts";
import type { SqlCursor, SqlDatabase, SqlRow, SqlValue } from "./sql-database.ts";
import {
  answerOfRows,
  jsonOfRow,
  parametersOf,
  planQuery,
  type SqlMethod,
  type SqlPlan,
  isNoRowNotFound,
} from "./sql-plan.ts";

/** What went wrong with a query, for the log: no value of a request or row stands in it. */
export interface SqlFault {
  readonly method: string;
  readonly what: string;
}

export interface SqlUpstreamOptions {
  readonly database: SqlDatabase;
  /** By method path. */
  readonly methods: Readonly<Record<string, SqlMethod>>;
  /** The service's published types; `undefined` while nothing is published here. */
  descriptors(): ServiceDescriptors | undefined;
  readonly scheduler: Scheduler;
  readonly onFault: (fault: SqlFault) => void;
}

export interface SqlUpstream extends UpstreamConnector {
  /**
   * Binds every query to the published messages and shows it to the database, without running it.
   * Rejects with CONFIG_INVALID for a query that does not fit, UPSTREAM_UNAVAILABLE when the database
   * cannot be asked. While nothing is published, only whether each is one SELECT is looked at.
   */
  validate(): Promise<void>;
}

export function createSqlUpstream(options: SqlUpstreamOptions): SqlUpstream {
  const plans = new Plans(options);
  const { database, scheduler } = options;
  const calls = new OpenCalls(scheduler);
  return {
    kind: "sql",
    validate: () => plans.validate(),
    callUnary: (call) => calls.run(() => callUnary(options, plans, call)),
    open: (call, listener) => {
      const method = options.descriptors()?.method(call.path);
      if (method?.proto.clientStreaming === true) {
        const what = "a query takes one request message";
        return openFailed(listener, new CausewayError("CALL_TYPE_UNSUPPORTED", what));
      }
      const isStream = method?.proto.serverStreaming === true;
      return openOneRequest(call, listener, scheduler, (message, sink, signal) => {
        const { path, messageBytesMax: bytesMax, timeoutMs } = call;
        const asked = { path, message, timeoutMs, signal, bytesMax };
        const relay = isStream ? streamRows : relayAnswer;
        return calls.run(() => relay(options, plans, asked, sink));
      });
    },
    close: async () => {
      await calls.ended();
      await database.close();
    },
  };
}

async function relayAnswer(
  options: SqlUpstreamOptions,
  plans: Plans,
  asked: Asked,
  sink: AnswerSink,
): Promise<StatusFrame> {
  const { headers, messages, status } = await answer(options, plans, asked);
  sink.headers(headers);
  for (const one of messages) await sink.message(one);
  return status;
}

/** The plans of the descriptors in force; made again when others are published. */
class Plans {
  readonly #options: SqlUpstreamOptions;
  #of: ServiceDescriptors | undefined;
  #plans = new Map<string, Promise<SqlPlan>>();

  constructor(options: SqlUpstreamOptions) {
    this.#options = options;
  }

  async validate(): Promise<void> {
    const descriptors = this.#options.descriptors();
    if (descriptors === undefined) return;
    for (const path of Object.keys(this.#options.methods)) await this.#plan(path, descriptors);
  }

  /** `undefined` for a method without a query. Rejects with UPSTREAM_UNAVAILABLE. */
  async find(path: string): Promise<SqlPlan | undefined> {
    const { methods, onFault } = this.#options;
    if (!Object.hasOwn(methods, path)) return undefined;
    const descriptors = this.#options.descriptors();
    if (descriptors === undefined) throw unavailable("the service is not published here yet");
    try {
      return await this.#plan(path, descriptors);
    } catch (error) {
      if (!(error instanceof CausewayError) || error.code !== "CONFIG_INVALID") throw error;
      onFault({ method: path, what: error.message });
      throw unavailable("the query does not fit what is published");
    }
  }

  /** Unless it was made anew already. */
  forget(path: string, plan: SqlPlan): void {
    const plans = this.#plans;
    const planned = plans.get(path);
    void planned?.then(
      (known) => known === plan && plans.get(path) === planned && plans.delete(path),
      () => undefined,
    );
  }

  #plan(path: string, descriptors: ServiceDescriptors): Promise<SqlPlan> {
    if (this.#of !== descriptors) {
      this.#of = descriptors;
      this.#plans = new Map();
    }
    const plans = this.#plans;
    const known = plans.get(path);
    if (known !== undefined) return known;
    const { methods, database } = this.#options;
    const made = planQuery(path, methods[path] as SqlMethod, descriptors, database);
    plans.set(path, made);
    // A database that was away is asked again with the next call.
    made.catch((error: unknown) => {
      if (!(error instanceof CausewayError) || error.code !== "CONFIG_INVALID") plans.delete(path);
    });
    return made;
  }
}

function unavailable(what: string): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", what, { fields: { sent: "no" } });
}

interface Asked {
  readonly path: string;
  readonly message: Uint8Array;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal;
  /** Of one message. */
  readonly bytesMax: number;
}

async function callUnary(
  options: SqlUpstreamOptions,
  plans: Plans,
  call: UpstreamCall,
): Promise<UnaryAnswer> {
  const ending = new AbortController();
  const abort = (): void => ending.abort(reasonOf(call.signal));
  const { path, message, timeoutMs, answerBytesMax: bytesMax } = call;
  const cancel =
    timeoutMs === undefined
      ? () => undefined
      : options.scheduler.after(Math.min(timeoutMs, timerMsMax), () =>
          ending.abort(new CausewayError("DEADLINE", "the deadline of the call has passed")),
        );
  call.signal.addEventListener("abort", abort, { once: true });
  if (call.signal.aborted) abort();
  try {
    const asked = { path, message, timeoutMs, signal: ending.signal, bytesMax };
    return await answer(options, plans, asked);
  } finally {
    cancel();
    call.signal.removeEventListener("abort", abort);
  }
}

function reasonOf(signal: AbortSignal): CausewayError {
  const reason: unknown = signal.reason;
  const code = reason instanceof CausewayError ? reason.code : "CANCELLED";
  return new CausewayError(code, "the call of the data service was ended");
}

async function answer(
  options: SqlUpstreamOptions,
  plans: Plans,
  asked: Asked,
): Promise<UnaryAnswer> {
  const headers = create(MetadataSchema);
  const end = (status: StatusFrame): UnaryAnswer => ({ headers, messages: [], status });
  const query = await begin(options, plans, asked);
  if (!("cursor" in query)) return end(query);
  const { plan, cursor } = query;
  try {
    const { settings } = plan;
    const rowsMax = settings.rows === "one" ? 1 : settings.rows_max;
    const rows: Json[] = [];
    let bytes = 0;
    const status = await eachRow(options, asked, query, (values) => {
      bytes += values.reduce<number>((sum, value) => sum + bytesOf(value), 0);
      if (rows.length === rowsMax || bytes > asked.bytesMax) {
        if (settings.rows === "one") throw new CausewayError("PROTOCOL_ERROR", "more than one row");
        throw new CausewayError("MESSAGE_TOO_LARGE", "the rows are more than the limit");
      }
      rows.push(jsonOfRow(plan, values, (text) => options.database.elementsOf(text)));
    });
    if (status !== undefined) return end(status);
    if (rows.length === 0 && isNoRowNotFound(settings)) return end(plainStatus(5, "no such row"));
    const message = answerOfRows(plan, rows);
    if (message.length > asked.bytesMax) {
      throw new CausewayError("MESSAGE_TOO_LARGE", "the answer is larger than its limit");
    }
    return { headers, messages: [message], status: plainStatus(0, "") };
  } finally {
    await cursor.close();
  }
}

async function streamRows(
  options: SqlUpstreamOptions,
  plans: Plans,
  asked: Asked,
  sink: AnswerSink,
): Promise<StatusFrame> {
  const query = await begin(options, plans, asked);
  if (!("cursor" in query)) return query;
  const { plan, cursor } = query;
  try {
    sink.headers(create(MetadataSchema));
    let count = 0;
    const status = await eachRow(options, asked, query, async (values) => {
      count += 1;
      if (count > plan.settings.rows_max) {
        throw new CausewayError("MESSAGE_TOO_LARGE", "the rows are more than the limit");
      }
      const json = jsonOfRow(plan, values, (text) => options.database.elementsOf(text));
      const message = answerOfRows(plan, [json]);
      if (message.length > asked.bytesMax) {
        throw new CausewayError("MESSAGE_TOO_LARGE", "a row is larger than its limit");
      }
      await sink.message(message);
    });
    if (status !== undefined) return status;
    if (count === 0 && isNoRowNotFound(plan.settings)) return plainStatus(5, "no such row");
    return plainStatus(0, "");
  } finally {
    await cursor.close();
  }
}

interface Query {
  readonly plan: SqlPlan;
  readonly cursor: SqlCursor;
  /** The next call plans anew. */
  readonly forget: () => void;
}

async function begin(
  { database }: SqlUpstreamOptions,
  plans: Plans,
  { path, message, timeoutMs, signal }: Asked,
): Promise<Query | StatusFrame> {
  signal.throwIfAborted();
  const plan = await plans.find(path);
  if (plan === undefined) return plainStatus(12, "the method has no query");
  let parameters: readonly SqlValue[];
  try {
    parameters = parametersOf(plan, message);
  } catch {
    return plainStatus(3, "the request is not a message of the method");
  }
  const { text } = plan;
  const cursor = await database.read({ text, parameters, timeoutMs, signal });
  return { plan, cursor, forget: () => plans.forget(path, plan) };
}

/** Gives every row; the status of a query that the database did not run to its end. */
async function eachRow(
  { onFault }: SqlUpstreamOptions,
  { path, signal }: Asked,
  { cursor, plan, forget }: Query,
  take: (values: SqlRow) => Promise<void> | void,
): Promise<StatusFrame | undefined> {
  try {
    for (;;) {
      const batch = await cursor.next();
      signal.throwIfAborted();
      if (batch.kind === "failed") {
        onFault({ method: path, what: batch.cause });
        return plainStatus(batch.grpcCode, "the query of the data service failed");
      }
      if (batch.rows.length > 0 && !isOfPlan(plan, batch.columns)) {
        forget();
        throw new CausewayError("PROTOCOL_ERROR", "the columns of the query have changed");
      }
      for (const values of batch.rows) await take(values);
      if (batch.done) return undefined;
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof CausewayError && error.code === "PROTOCOL_ERROR") {
      const { column } = error.fields;
      onFault({ method: path, what: column === undefined ? error.message : `column ${column}` });
      return plainStatus(13, "the data source answered what the method cannot carry");
    }
    throw error;
  }
}

/** A table that was made anew may give its columns in another order. */
function isOfPlan(plan: SqlPlan, columns: readonly string[]): boolean {
  return (
    plan.columns.length === columns.length &&
    plan.columns.every(({ name }, i) => name === columns[i])
  );
}

function bytesOf(value: SqlValue): number {
  if (typeof value === "string" || value instanceof Uint8Array) return value.length;
  return Array.isArray(value) ? value.reduce<number>((sum, one) => sum + bytesOf(one), 0) : 0;
}
