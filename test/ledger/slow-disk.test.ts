/** What is done while a slow disk keeps what a ledger or a witness has stored. */
import assert from "node:assert/strict";
import test from "node:test";
import type { LedgerWriter, WitnessStore } from "../../src/ledger/store/store.ts";
import { TwoCities, until } from "./support.ts";

/** The store whose syncs are known to be done only when the test lets go of them. */
class SlowDisk {
  isSlow = false;
  readonly #held: (() => void)[] = [];

  get held(): number {
    return this.#held.length;
  }

  letGo(): void {
    this.isSlow = false;
    for (const resolve of this.#held.splice(0)) resolve();
  }

  of<Store extends LedgerWriter | WitnessStore>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        if (name === "synced") return () => this.#synced(target);
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });
  }

  async #synced(store: Pick<WitnessStore, "synced">): Promise<void> {
    await store.synced();
    if (this.isSlow) await new Promise<void>((resolve) => this.#held.push(resolve));
  }
}

test("a vote names what was promised before it, also when the disk had that last", async (t) => {
  const disk = new SlowDisk();
  const cities = await TwoCities.found(t);
  const { hangzhou, shenzhen, network } = cities;
  await cities.startSequencer();
  await cities.startFollower({ stores: { witness: (open) => disk.of(open()) } });
  await cities.finalAtBoth(1n);
  disk.isSlow = true;
  const { batch } = await cities.ledger.appendEvidence(network.provider.gateway);
  await hangzhou.running.engine.submit(batch);
  await until(() => disk.held > 0, "the second city has promised the new size");
  assert.equal(hangzhou.running.replica.final()?.size, 1n, "nothing is cosigned before");
  const promising = shenzhen.running.promiseTerm({
    term: 1n,
    logKey: network.signer("log of term 1").publicKey,
    sequencer: hangzhou.peer,
  });
  setImmediate(() => disk.letGo());
  const promise = await promising;
  assert.equal(promise.kind === "promised" && promise.highest?.size, 2n);
  await until(() => hangzhou.running.replica.final()?.size === 2n, "it is final");
});

test("a batch that came twice while the sequencer ends is turned away, and breaks nothing", async (t) => {
  const disk = new SlowDisk();
  const cities = await TwoCities.found(t);
  const { hangzhou, ledger, network } = cities;
  const node = await cities.startSequencer({
    stores: { ledger: (open) => disk.of<LedgerWriter>(open()) },
  });
  await cities.startFollower();
  await cities.finalAtBoth(1n);
  disk.isSlow = true;
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  const first = node.engine.submit(batch);
  const second = assert.rejects(node.engine.submit(batch), { code: "SHUTTING_DOWN" });
  await until(() => disk.held > 0, "the batch is stored");
  const stopped = hangzhou.stop();
  setImmediate(() => disk.letGo());
  assert.deepEqual(await first, { kind: "included", index: 1n });
  await Promise.all([second, stopped]);
  assert.deepEqual(hangzhou.fatal, []);
});
