/** A SQLite database behind processes of its own: no query blocks the gateway, and every one can be ended. */
import { type ChildProcess, fork } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { assertInvariant, CausewayError } from "../../src/base/errors.ts";
import { sqlWaitingMax } from "../../src/base/limits.ts";
import type { SqlBatch, SqlCursor, SqlDatabase, SqlRead, SqlValue } from "./sql-database.ts";
import type { FromSqlite, ToSqlite } from "./sqlite-message.ts";

const program = fileURLToPath(new URL("./sqlite-process.js", import.meta.url));

export interface SqliteOptions {
  readonly file: string;
  /** Queries that are run at one time. */
  readonly processesMax: number;
}

export function createSqliteDatabase(options: SqliteOptions): SqlDatabase {
  const processes = new SqliteProcesses(options);
  return {
    dialect: "sqlite",
    describe: (text) => describe(processes, text),
    read: (read) => openCursor(processes, read),
    elementsOf: elementsOfJson,
    close: async () => processes.close(),
  };
}

/** Arrays are JSON in SQLite; what is no array of simple values is none. */
function elementsOfJson(text: string): readonly SqlValue[] | undefined {
  try {
    const json: unknown = JSON.parse(text);
    if (!Array.isArray(json)) return undefined;
    return json.map((item: unknown) =>
      typeof item === "number" && Number.isSafeInteger(item)
        ? BigInt(item)
        : typeof item === "object" && item !== null
          ? JSON.stringify(item)
          : (item as SqlValue),
    );
  } catch {
    return undefined;
  }
}

async function describe(processes: SqliteProcesses, text: string): Promise<readonly string[]> {
  const child = await processes.take(new AbortController().signal);
  const answer = await child.ask({ kind: "describe", text }).catch(() => undefined);
  processes.giveBack(child);
  if (answer?.kind === "columns") return answer.columns;
  if (answer?.kind === "refused") throw new CausewayError("CONFIG_INVALID", answer.what);
  throw away(answer?.kind === "closed" ? answer.code : "the process ended");
}

async function openCursor(processes: SqliteProcesses, read: SqlRead): Promise<SqlCursor> {
  const { text, parameters, signal } = read;
  const child = await processes.take(signal);
  const end = (): void => child.kill();
  signal.addEventListener("abort", end, { once: true });
  let request: ToSqlite = { kind: "read", text, parameters };
  let isOpen = false;
  let isClosed = false;
  return {
    next: async () => {
      const answer = await child.ask(request).catch(() => undefined);
      signal.throwIfAborted();
      request = { kind: "next" };
      isOpen = answer?.kind === "rows" && !answer.done;
      return batchOf(answer);
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      signal.removeEventListener("abort", end);
      if (isOpen) await child.ask({ kind: "stop" }).catch(() => undefined);
      processes.giveBack(child);
    },
  };
}

function batchOf(answer: FromSqlite | undefined): SqlBatch {
  if (answer === undefined) throw away("the process ended");
  if (answer.kind === "rows") return answer;
  if (answer.kind === "failed") {
    return { kind: "failed", grpcCode: codeOf(answer.code), cause: answer.code };
  }
  throw away(answer.kind === "closed" ? answer.code : answer.kind);
}

function codeOf(code: string): number {
  return code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED") ? 14 : 13;
}

function away(code: string): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", "the database cannot be read", {
    cause: new Error(code),
    fields: { sent: "no" },
  });
}

/** One process: it answers one request at a time. */
class SqliteProcess {
  readonly #child: ChildProcess;
  #waiting: { resolve(answer: FromSqlite): void; reject(error: Error): void } | undefined;
  #isGone = false;

  constructor(file: string) {
    // Nothing of the gateway's own environment or flags goes with it.
    this.#child = fork(program, [file], {
      env: {},
      execArgv: [],
      serialization: "advanced",
      // It watches its standard input: that ends with this process, however it ends.
      stdio: ["pipe", "ignore", "ignore", "ipc"],
    });
    const input = this.#child.stdin as Socket;
    input.on("error", () => undefined);
    input.unref();
    this.#child.on("message", (answer) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      this.#hold(false);
      waiting?.resolve(answer as FromSqlite);
    });
    this.#child.once("error", () => this.#lost());
    this.#child.once("exit", () => this.#lost());
    this.#hold(false);
  }

  /** A process that is asked nothing does not keep the gateway's own process from its end. */
  #hold(isAsked: boolean): void {
    const { channel } = this.#child;
    if (isAsked) {
      this.#child.ref();
      channel?.ref();
    } else {
      this.#child.unref();
      channel?.unref();
    }
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  ask(request: ToSqlite): Promise<FromSqlite> {
    if (this.#isGone) return Promise.reject(new Error("the process has ended"));
    assertInvariant(this.#waiting === undefined, "a SQLite process is asked one thing at a time");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#hold(true);
      this.#child.send(request, (error) => {
        if (error !== null) this.#lost();
      });
    });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
    this.#lost();
  }

  #lost(): void {
    this.#isGone = true;
    this.#waiting?.reject(new Error("the process has ended"));
    this.#waiting = undefined;
  }
}

/** Processes that are made when they are needed, and kept. */
class SqliteProcesses {
  readonly #options: SqliteOptions;
  readonly #idle: SqliteProcess[] = [];
  readonly #all = new Set<SqliteProcess>();
  readonly #waiting: ((child: SqliteProcess) => void)[] = [];
  #isClosed = false;

  constructor(options: SqliteOptions) {
    this.#options = options;
  }

  async take(signal: AbortSignal): Promise<SqliteProcess> {
    signal.throwIfAborted();
    if (this.#isClosed) throw away("the connector is closed");
    const child = this.#idle.pop() ?? this.#spawn();
    if (child !== undefined) return child;
    if (this.#waiting.length >= sqlWaitingMax) {
      throw new CausewayError("BUSY", "too many queries wait for the database");
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(given), 1);
        reject(signal.reason as Error);
      };
      const given = (free: SqliteProcess): void => {
        signal.removeEventListener("abort", abort);
        resolve(free);
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(given);
    });
  }

  /** A process that has ended makes room for another. */
  giveBack(child: SqliteProcess): void {
    if (child.isGone) this.#all.delete(child);
    if (this.#isClosed) return child.kill();
    const next = this.#waiting.shift();
    const free = child.isGone ? (next === undefined ? undefined : this.#spawn()) : child;
    if (free === undefined) return;
    if (next === undefined) this.#idle.push(free);
    else next(free);
  }

  close(): void {
    this.#isClosed = true;
    for (const child of this.#all) child.kill();
  }

  #spawn(): SqliteProcess | undefined {
    for (const child of this.#all) if (child.isGone) this.#all.delete(child);
    if (this.#all.size >= this.#options.processesMax) return undefined;
    const child = new SqliteProcess(this.#options.file);
    this.#all.add(child);
    return child;
  }
}
