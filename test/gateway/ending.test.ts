/** What comes from the ledger while a gateway ends, between the end of its journal and that of its replica. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { after, before, test } from "node:test";
import { systemClock } from "../../gateway/runtime.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import type { LedgerWriter } from "../../src/ledger/store/store.ts";
import { type Running, startTwoCities } from "../support/running.ts";

/** Tells of each final note that the replica of the gateway stores. */
const finals = new EventEmitter();
const broken: unknown[] = [];
let aheadMs = 0;
let heardWhileEnding = 0;

function telling(store: LedgerWriter): LedgerWriter {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        if (name === "freeze" || name === "setHeartbeat") setImmediate(() => finals.emit("final"));
        return result;
      };
    },
  });
}

/** Its end waits for a final note, a heartbeat when all is final; by then all that is done now and then is due. */
function slowToEnd(upstream: UpstreamConnector): UpstreamConnector {
  return {
    kind: upstream.kind,
    open: (call, listener) => upstream.open(call, listener),
    callUnary: (call) => upstream.callUnary(call),
    close: async () => {
      aheadMs = 60_000;
      if (broken.length === 0) await once(finals, "final", { signal: AbortSignal.timeout(15_000) });
      heardWhileEnding++;
      await upstream.close();
    },
  };
}

let running: Running;

before(async () => {
  running = await startTwoCities({
    overrides: {
      provider: {
        clock: {
          nowMs: () => systemClock.nowMs() + aheadMs,
          monotonicMs: () => systemClock.monotonicMs(),
        },
        ledgerStores: { ledger: (open) => telling(open()) },
        wrapUpstream: slowToEnd,
        onFatal: (error) => {
          broken.push(error);
          finals.emit("final");
        },
      },
    },
  });
});

after(() => running?.close());

test("a final note that comes when the journal is closed already breaks nothing", async () => {
  const { code, reason } = await running.client.getDivision("330106");
  assert.equal(code, 0, reason);
  await running.settled();
  await running.gateways.provider.close();
  assert.equal(heardWhileEnding, 1);
  assert.deepEqual(broken, []);
});
