import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import type { FromStore, StoreCall } from "../../src/ledger/thread/store-message.ts";
import { StoreThread } from "../../src/ledger/thread/store-thread.ts";

interface Names {
  put(names: readonly string[]): void;
  forget(name: string): void;
  count(): number;
  close(): void;
}

/** A store whose thread is the test: it sees the calls, and says what the thread would. */
function threadOfTest() {
  const calls: StoreCall[] = [];
  const failures: CausewayError[] = [];
  const waiting: (() => void)[] = [];
  let say!: (message: FromStore) => void;
  let end!: (cause: unknown) => void;
  const store = new StoreThread<Names, string>({
    thread: {
      post: (call) => calls.push(call),
      listen: (onMessage, onEnd) => {
        say = onMessage;
        end = onEnd;
      },
    },
    name: "names",
    scheduler: {
      after: (_waitMs, work) => {
        waiting.push(work);
        return () => waiting.splice(waiting.indexOf(work), 1);
      },
    },
    group: { waitMs: 50, bytesMax: 10 },
    pack: (names) => names,
    onFailed: (error) => failures.push(error),
  });
  return { store, calls, failures, waiting, say, end };
}

const hasCode =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof CausewayError && error.code === code;

describe("a store in a thread", () => {
  it("is put what was gathered when its time is over", () => {
    const { store, calls, waiting } = threadOfTest();
    store.put("a", 1);
    store.put("b", 1);
    assert.deepEqual(calls, []);
    assert.equal(waiting.length, 1);
    waiting[0]?.();
    assert.deepEqual(calls, [{ method: "put", args: [["a", "b"]] }]);
  });

  it("is put a group at once that has its bytes", () => {
    const { store, calls, waiting } = threadOfTest();
    store.put("a", 9);
    store.put("b", 1);
    assert.deepEqual(calls, [{ method: "put", args: [["a", "b"]] }]);
    assert.equal(waiting.length, 0);
  });

  it("has what was put before any other call", () => {
    const { store, calls } = threadOfTest();
    store.put("a", 1);
    store.tell("forget", "a");
    store.put("b", 1);
    void store.ask("count");
    assert.deepEqual(calls, [
      { method: "put", args: [["a"]] },
      { method: "forget", args: ["a"] },
      { method: "put", args: [["b"]] },
      { method: "count", args: [], request: 0 },
    ]);
  });

  it("answers each caller its own, in any order", async () => {
    const { store, say } = threadOfTest();
    const first = store.ask("count");
    const second = store.ask("count");
    say({ kind: "answer", request: 1, value: 8 });
    say({ kind: "answer", request: 0, value: 7 });
    assert.deepEqual(await Promise.all([first, second]), [7, 8]);
  });

  it("that cannot be opened says why, and has not failed while it was open", async () => {
    const { store, say, failures } = threadOfTest();
    say({ kind: "failed", code: "KEY_LOCKED", message: "another key" });
    await assert.rejects(store.ready, hasCode("KEY_LOCKED"));
    assert.deepEqual(failures, []);
  });

  it("that fails rejects who waits and who comes later, and says so once", async () => {
    const { store, say, end, failures } = threadOfTest();
    say({ kind: "ready" });
    await store.ready;
    const asked = store.ask("count");
    say({ kind: "failed", code: "STORAGE_FAILED", message: "the disk is full" });
    end(undefined);
    await assert.rejects(asked, hasCode("STORAGE_FAILED"));
    await assert.rejects(store.ask("count"), hasCode("STORAGE_FAILED"));
    assert.throws(() => store.put("a", 1), hasCode("STORAGE_FAILED"));
    assert.throws(() => store.tell("forget", "a"), hasCode("STORAGE_FAILED"));
    assert.equal(failures.length, 1);
  });

  it("whose thread ends by itself has failed, with the cause", async () => {
    const { store, say, end, failures } = threadOfTest();
    say({ kind: "ready" });
    const asked = store.ask("count");
    const cause = new Error("out of memory");
    end(cause);
    await assert.rejects(asked, hasCode("STORAGE_FAILED"));
    assert.equal(failures[0]?.cause, cause);
  });

  it("writes what waits before it is closed, and takes nothing after", async () => {
    const { store, calls, say, end, failures } = threadOfTest();
    say({ kind: "ready" });
    store.put("a", 1);
    const closed = store.close();
    assert.throws(() => store.put("b", 1), hasCode("SHUTTING_DOWN"));
    await assert.rejects(store.ask("count"), hasCode("SHUTTING_DOWN"));
    assert.deepEqual(calls, [
      { method: "put", args: [["a"]] },
      { method: "close", args: [], request: 0 },
    ]);
    say({ kind: "answer", request: 0, value: undefined });
    end(undefined);
    await closed;
    await store.close();
    assert.deepEqual(failures, []);
  });
});
