/** A disk that refuses a write ends the process, and nothing that rests on that write leaves it. */
import assert from "node:assert/strict";
import test from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import type { LedgerNodeOptions } from "../../src/ledger/embedded/ledger-node.ts";
import type { LedgerWriter, WitnessStore } from "../../src/ledger/store/store.ts";
import { TwoCities, until } from "./support.ts";

interface Disk {
  isFull: boolean;
}

/** The store with one kind of write that fails as a full disk does. */
function failing<S extends object>(store: S, write: keyof S, disk: Disk): S {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      const method = member as (...args: unknown[]) => unknown;
      return (...args: unknown[]): unknown => {
        if (name === write && disk.isFull) throw new CausewayError("STORAGE_FAILED", "disk full");
        return method.apply(target, args);
      };
    },
  });
}

type Stores = NonNullable<LedgerNodeOptions["stores"]>;

const failures: readonly {
  readonly what: string;
  readonly stores: (disk: Disk) => Stores;
}[] = [
  {
    what: "a batch",
    stores: (disk) => ({
      ledger: (open) => failing<LedgerWriter>(open(), "append", disk),
    }),
  },
  {
    what: "a signed head",
    stores: (disk) => ({
      ledger: (open) => failing<LedgerWriter>(open(), "setHead", disk),
    }),
  },
  {
    what: "a final checkpoint",
    stores: (disk) => ({
      ledger: (open) => failing<LedgerWriter>(open(), "freeze", disk),
    }),
  },
  {
    what: "a promise of the witness",
    stores: (disk) => ({
      witness: (open) => failing<WitnessStore>(open(), "advance", disk),
    }),
  },
];

for (const { what, stores } of failures) {
  test(`a sequencer that cannot store ${what} ends, and nothing more becomes final`, async (t) => {
    const disk: Disk = { isFull: false };
    const cities = await TwoCities.found(t);
    await cities.startSequencer({ stores: stores(disk) });
    await cities.startFollower();
    await cities.finalAtBoth(1n);
    disk.isFull = true;
    const { batch } = await cities.ledger.appendEvidence(cities.network.provider.gateway);
    await cities.hangzhou.running.engine.submit(batch).catch(() => undefined);
    await until(() => cities.hangzhou.fatal.length > 0, `the process is asked to end: ${what}`);
    const [error] = cities.hangzhou.fatal;
    assert.equal((error as CausewayError).code, "STORAGE_FAILED");
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(cities.shenzhen.running.replica.final()?.size, 1n);
  });
}
