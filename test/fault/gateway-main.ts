/**
 * One gateway as a program of its own: `gateway-main CONFIG [CLOCK]`. It prints `running` once calls are
 * taken. Over IPC the test arms a kill point; there it prints `at <point>` and waits until it is killed.
 * The points lie in wrapped ports; the product's code has none. CLOCK is a file of 8 bytes that says by
 * how many milliseconds its clock is ahead: the test moves the clocks of all processes at once with it.
 */
import { subscribe } from "node:diagnostics_channel";
import { openSync, readSync, writeSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createGateway, type GatewayOverrides } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { systemClock } from "../../gateway/runtime.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { createSealWorker, type SealWorker } from "../../src/ledger/journal/sealer.ts";
import type { Engine, Sealer } from "../../src/ledger/ports.ts";
import { openRecord } from "../../src/record/record.ts";
import type { LedgerWriter, WitnessStore } from "../../src/ledger/store/store.ts";

/** Where a gateway may be stopped; each names the durable steps that it lies between. */
export type KillPoint =
  | "before close"
  | "before commit"
  | "after commit"
  | "before release"
  | "before upstream"
  | "after upstream"
  | "before submit"
  | "after submit"
  | "before append"
  | "after append"
  | "before head"
  | "after head"
  | "before promise"
  | "after promise"
  | "after cosignature"
  | "before term promise"
  | "after term promise"
  | "before truncation"
  | "after truncation"
  | "before first head"
  | "after first head";

/** A record of an attempt: at its points of the seal the process may be stopped for this kind alone. */
export type SealedStep =
  | "opened"
  | "receipt"
  | "final receipt"
  | "acknowledgement"
  | "final acknowledgement"
  | "closed";

/** Stop at the point when it has been passed `skip` times; with a step, when that record has passed it so often. */
export interface Arm {
  readonly point: KillPoint;
  readonly skip: number;
  readonly step?: SealedStep | undefined;
}

let armed: { readonly point: KillPoint; skip: number; step?: SealedStep | undefined } | undefined;
/** How far the record is that an arm with a step waits for: the batch that holds it is the next that is posted. */
let awaited: "queued" | "posted" | undefined;

/** Whether the process is to stop here. */
function isAt(point: KillPoint): boolean {
  if (armed?.point !== point || armed.step !== undefined || armed.skip-- > 0) return false;
  return stopAt(point);
}

/** Whether this is the record that the process is to stop for. */
function isAwaited(record: Uint8Array): boolean {
  if (armed?.step === undefined || armed.step !== stepOf(record)) return false;
  return armed.skip-- === 0;
}

function stepOf(record: Uint8Array): SealedStep | undefined {
  const { body } = openRecord(record);
  switch (body.case) {
    case "opened":
      return "opened";
    case "closed": {
      // What an earlier start has left is closed at any time.
      const { outcome } = body.value;
      const isLeft =
        outcome === Outcome.GATEWAY_RESTARTED || outcome === Outcome.UNKNOWN_AFTER_RESTART;
      return isLeft ? undefined : "closed";
    }
    case "receipt":
    case "acknowledgement":
      return body.value.final ? `final ${body.case}` : body.case;
    default:
      return undefined;
  }
}

/** Always `true`: the process stops here. */
function stopAt(point: KillPoint): true {
  armed = undefined;
  writeSync(1, `at ${point}\n`);
  return true;
}

const forever = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** For ports that answer at once: the thread itself stands still. */
function standAt(point: KillPoint): void {
  if (isAt(point)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** The port with some of its functions in other hands; what is not named here is its own. */
function replacing<T extends object>(port: T, functions: Partial<T>): T {
  return new Proxy(port, {
    get: (own, name) => {
      const replaced: unknown = Reflect.get(functions, name);
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(own, name, own);
      return typeof value === "function" ? (value.bind(own) as unknown) : value;
    },
  });
}

function wrapSealer(sealer: Sealer): Sealer {
  return {
    seal: async (record) => {
      const point = isAwaited(record.record) ? armed?.point : undefined;
      if (isAt("before close") || (point === "before close" && stopAt(point))) return forever();
      if (point !== undefined) awaited = "queued";
      const sealed = await sealer.seal(record);
      const stops = isAt("before release") || (point === "before release" && stopAt(point));
      return stops ? forever() : sealed;
    },
  };
}

/** Whether the batch that holds the awaited record is at this point. */
function isBatchAt(point: KillPoint, when: typeof awaited): boolean {
  return awaited === when && armed?.step !== undefined && armed.point === point && stopAt(point);
}

function wrapSealWorker(worker: SealWorker): SealWorker {
  return {
    post: (message) => {
      if (message.kind === "seal") {
        if (isAt("before commit") || isBatchAt("before commit", "queued")) return;
        if (awaited === "queued") awaited = "posted";
      }
      worker.post(message);
    },
    listen: (onMessage, onEnd) =>
      worker.listen((message) => {
        if (message.kind === "sealed") {
          if (isAt("after commit") || isBatchAt("after commit", "posted")) return;
          if (awaited === "posted") awaited = undefined;
        }
        onMessage(message);
      }, onEnd),
  };
}

function wrapUpstream(upstream: UpstreamConnector): UpstreamConnector {
  return {
    kind: upstream.kind,
    callUnary: async (call) => {
      if (isAt("before upstream")) return forever();
      const answer = await upstream.callUnary(call);
      return isAt("after upstream") ? forever() : answer;
    },
    open: (call, listener) => {
      if (isAt("before upstream")) {
        return { write: () => forever(), halfClose: () => undefined, take: () => undefined };
      }
      // Nothing comes from a stream that stands at the point.
      let stands = false;
      const unlessStanding =
        <T>(hear: (what: T) => void) =>
        (what: T): void => {
          if (!stands) hear(what);
        };
      return upstream.open(call, {
        onHeaders: (headers) => {
          stands = isAt("after upstream");
          if (!stands) listener.onHeaders(headers);
        },
        onMessage: unlessStanding((message) => listener.onMessage(message)),
        onEnd: unlessStanding((status) => listener.onEnd(status)),
        onFailed: unlessStanding((error) => listener.onFailed(error)),
      });
    },
    close: () => upstream.close(),
  };
}

function wrapEngine(engine: Engine): Engine {
  return replacing(engine, {
    submit: async (batch) => {
      standAt("before submit");
      const result = await engine.submit(batch);
      standAt("after submit");
      return result;
    },
  });
}

function wrapLedger(store: LedgerWriter): LedgerWriter {
  let isTermNew = false;
  return replacing(store, {
    append: (rows) => {
      standAt("before append");
      store.append(rows);
      standAt("after append");
    },
    truncateAndAppend: (change, rows) => {
      standAt("before truncation");
      store.truncateAndAppend(change, rows);
      isTermNew = true;
      standAt("after truncation");
    },
    setHead: (head) => {
      // Of each term that this process comes to know: it may live through several.
      const isFirst = isTermNew;
      standAt("before head");
      if (isFirst) standAt("before first head");
      store.setHead(head);
      isTermNew = false;
      standAt("after head");
      if (isFirst) standAt("after first head");
    },
  });
}

function wrapWitness(store: WitnessStore): WitnessStore {
  return replacing(store, {
    advance: (promise) => {
      standAt("before promise");
      const isNew = store.advance(promise);
      standAt("after promise");
      return isNew;
    },
    promiseTerm: (promise) => {
      standAt("before term promise");
      const isNew = store.promiseTerm(promise);
      standAt("after term promise");
      return isNew;
    },
  });
}

/** When the last byte of a cosignature has gone to the system. */
function watchCosignatures(): void {
  subscribe("http.server.response.finish", (message) => {
    const { request, response } = message as {
      readonly request: IncomingMessage;
      readonly response: ServerResponse;
    };
    if (request.url === "/add-checkpoint" && response.statusCode === 200) {
      standAt("after cosignature");
    }
  });
}

/** Both clocks run ahead by what the file says, as they have after a night without a call. */
function movedClock(file: string): Clock {
  const descriptor = openSync(file, "r");
  const bytes = new DataView(new ArrayBuffer(8));
  const aheadMs = (): number => {
    readSync(descriptor, bytes, 0, 8, 0);
    return bytes.getFloat64(0);
  };
  return {
    nowMs: () => systemClock.nowMs() + aheadMs(),
    monotonicMs: () => systemClock.monotonicMs() + aheadMs(),
  };
}

async function main(configFile: string, clockFile: string | undefined): Promise<void> {
  process.on("message", (message: Arm) => {
    armed = { ...message };
    awaited = undefined;
    writeSync(1, `armed ${message.point}\n`);
  });
  watchCosignatures();
  const overrides: GatewayOverrides = {
    ...(clockFile === undefined ? {} : { clock: movedClock(clockFile) }),
    createSealWorker: (data) => wrapSealWorker(createSealWorker(data)),
    wrapSealer,
    wrapEngine,
    wrapUpstream,
    ledgerStores: {
      ledger: (open) => wrapLedger(open()),
      witness: (open) => wrapWitness(open()),
    },
  };
  const gateway = await createGateway(readConfig(configFile), overrides);
  process.once("SIGTERM", () => {
    void gateway.close().then(() => process.disconnect());
  });
  await gateway.start();
  writeSync(1, "running\n");
}

const [, , configFile, clockFile] = process.argv;
if (configFile !== undefined) await main(configFile, clockFile);
